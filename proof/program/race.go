//go:build race

package program

var raceFlag = []string{"-race"} //nolint:gochecknoglobals // a constant
