package sinks

import (
	"fmt"
	"io"

	"synupkeep/internal/printable"
)

// WriteJSON writes the summary as one indented JSON object with a newline at its end.
func WriteJSON(w io.Writer, s Summary) error {
	if err := printable.WriteJSON(w, s.normal()); err != nil {
		return fmt.Errorf("write the summary as JSON: %w", err)
	}
	return nil
}
