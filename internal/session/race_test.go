//go:build race

package session_test

// raceDetector says that everything runs an order of magnitude slower.
const raceDetector = true
