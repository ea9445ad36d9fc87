//go:build race

package intake

// raceEnabled: under the race detector sync.Pool loses some of what it is given, on purpose.
const raceEnabled = true
