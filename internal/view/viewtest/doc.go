// Package viewtest has what tests of what is shown stand on: a kanmon that answers on a real admin socket what a test says. Tests only.
package viewtest
