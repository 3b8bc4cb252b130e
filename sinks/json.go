package sinks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"synupkeep/internal/printable"
)

// WriteJSON writes the summary as one indented JSON object with a newline at its end.
func WriteJSON(w io.Writer, s Summary) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s.normal()); err != nil {
		return fmt.Errorf("write the summary as JSON: %w", err)
	}
	if _, err := w.Write(printable.JSON(b.Bytes())); err != nil {
		return fmt.Errorf("write the summary as JSON: %w", err)
	}
	return nil
}
