package faults_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"synupkeep/proof/program"
)

// sideBySide is how many tests run at once. Most of the time they wait: for a server that does not answer, for a lock. Each
// has a world of its own, which takes some seconds to make.
const sideBySide = "4"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", sideBySide); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := program.TestMain(m)
	if err := stopAll(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}
