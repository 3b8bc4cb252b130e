package crowds_test

import (
	"os"
	"testing"

	"synupkeep/proof/program"
)

func TestMain(m *testing.M) { os.Exit(program.TestMain(m)) }
