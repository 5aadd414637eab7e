// Package view joins what shows kanmon to people, of a configuration: the page, and the history behind it. It runs in processes of its own,
// beside the one that mail passes.
//
// Normal use: [OpenPage], then [Page.Serve] until its context ends, then [Page.Close].
package view
