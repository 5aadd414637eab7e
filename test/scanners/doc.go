// Package scanners puts mail to real scanners: Rspamd, clamd, opendkim, and a filter by python3-milter, as Debian has them. They lie in a
// file system over this machine's (test/setup/install.sh scanners), run on the gateway of a lab that leads nowhere, and are started and
// ended by the test that needs them. Most tests ask them as kanmon's packages do; those of whole_test.go have kanmon run, between real Postfixes.
// Scanners that lie or drip are in the tests of internal/policy/inspect.
//
// docs/dev/content-scenarios.md says which test shows what. `make scanners` runs them.
package scanners
