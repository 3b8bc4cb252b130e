package flow

import (
	"errors"
	"testing"
)

// TestCancelBeforeClose: whoever sees the close of a stage that failed must find the context done.
func TestCancelBeforeClose(t *testing.T) {
	broken := errors.New("broken")
	p := New(t.Context(), t.Context())
	closed := false
	p.run(1, func() error { return broken }, func() {
		closed = true
		if !errors.Is(p.StopCause(), broken) {
			t.Errorf("closed while the pipeline was not cancelled yet: %v", p.StopCause())
		}
	})
	if err := p.Wait(); !errors.Is(err, broken) || !closed {
		t.Errorf("Wait: %v, closed %v", err, closed)
	}
}
