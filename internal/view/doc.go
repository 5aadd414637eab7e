// Package view joins what shows kanmon to people, of a configuration: the page, and the history behind it. It runs in processes of its own,
// beside the one that mail passes.
//
// Normal use: [OpenHistory] or [ReadHistory], [OpenPage] of it, then [Keeping.Run] and [Page.Serve] until their context ends, then Close.
package view
