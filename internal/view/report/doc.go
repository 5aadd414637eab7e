// Package report tells a tenant what has become of its mail in a time, from history alone: a person at the tenant's reads it, who knows nothing
// of this gateway and is to learn nothing of others.
//
//  1. [Make] gathers a [Report]: values, as JSON has them.
//  2. [Report.Document] says it in a language: sections of text and tables.
//  3. [Document.HTML], [Document.Text] and [Document.CSV] write that. What strangers wrote is made harmless there, each in its way.
//
// Whatever is asked of history is asked by tenant, and what comes back is looked at again: of nobody else anything is taken over. What is only
// about this gateway (its sending IPs and how they stand, who of its operators has ordered something) is left out.
package report
