// Package setup writes a first configuration, for the host that it finds itself on.
//
//  1. [Host.Look] at its addresses, its networks, whether a mail server runs on it; [Host.Name] asks DNS what addresses are called.
//  2. [Decide] what follows from that and from flags, or [Ask] a person, who may change all of it. [Answers.Complete] says what is missing.
//  3. [Answers.Text] is the file, with comments; [Write] puts it where nothing is.
package setup
