// Package manual makes the reference pages: of the configuration, from the descriptions of its keys, and of the commands, from their help
// texts. Nothing in them is written a second time, so that what the program says and what the pages say cannot differ.
//
//  1. [FillConfiguration] brings the tables of docs/ref/configuration.md up to date; the prose around them is written by hand.
//  2. [Commands] gives docs/ref/cli.md.
//  3. [CommandsMan] and [ConfigurationMan] give kanmon(1) and kanmon.toml(5) in the Markdown that go-md2man reads. "make man" does that.
//  4. [DescribeKey] says on a terminal what a key does.
//  5. [Complete] gives the words that a shell may offer.
package manual
