package doctor

import (
	"os"
	"testing"

	"synupkeep/internal/sandbox"
)

func TestMain(m *testing.M) { os.Exit(sandbox.TestMain(m)) }
