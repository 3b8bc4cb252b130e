package sinks_test

import (
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func TestSchema(t *testing.T) { _ = jsonschema.NewCompiler() }
