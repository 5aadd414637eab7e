// Package history tries history at the size of a large site: days of records, and what people ask of them. `make history-scale` does it with a million
// attempts a day.
package history
