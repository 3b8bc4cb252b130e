//go:build !race

package program

var raceFlag []string //nolint:gochecknoglobals // a constant
