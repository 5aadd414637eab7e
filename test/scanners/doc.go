// Package scanners puts mail to real scanners: Rspamd, clamd, opendkim, and a filter by python3-milter, as Debian has them. They lie in a
// file system over this machine's (test/setup/install.sh scanners), run on a host of a lab that has a loopback interface alone, and are
// started and ended by the test that needs them. Scanners that lie or drip are in the tests of internal/policy/inspect.
//
// docs/dev/content-scenarios.md says which test shows what. `make scanners` runs them.
package scanners
