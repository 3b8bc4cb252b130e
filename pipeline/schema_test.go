package pipeline

import (
	"bytes"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// reportSchema compiles docs/report.schema.json once.
var reportSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	return c.Compile("../docs/report.schema.json")
})

// asTheSchemaSays fails unless a summary is what docs/report.schema.json describes, without a key or a word more.
func asTheSchemaSays(t testing.TB, summary []byte) {
	t.Helper()
	s, err := reportSchema()
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(summary))
	if err == nil {
		err = s.Validate(v)
	}
	if err != nil {
		t.Errorf("the summary is not as its schema says: %v\n%s", err, summary)
	}
}
