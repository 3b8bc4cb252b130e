package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the template and the style sheet
	"encoding/base64"
	"fmt"
	"html/template"
	"io"

	"synupkeep/sinks"
)

//go:embed page.html.tmpl
var pageTemplate string

//go:embed page.css
var styleSheet string

// File is a file that will hold the page. See sinks.File.
type File struct{ file *sinks.File }

// Create makes sure, before anything is deleted, that the page can be written. It is of mode 0600: it names rooms and media.
// See sinks.CreateFile.
func Create(path string) (*File, error) {
	f, err := sinks.CreateFile(path, sinks.FileKind{
		What: "the page", Flag: "html", Mode: 0o600, Missing: "there is no new page, but the output says the same in words",
	})
	if err != nil {
		return nil, err
	}
	return &File{f}, nil
}

// Write completes the page of a run or a plan. See sinks.File.
func (f *File) Write(p Page) error {
	return f.file.Write(func(w io.Writer) error { return Write(w, p) })
}

// WriteUsage completes the page of what uses the space.
func (f *File) WriteUsage(u sinks.Usage) error {
	return f.file.Write(func(w io.Writer) error { return WriteUsage(w, u) })
}

// Abandon gives up the file. One of an earlier run stays.
func (f *File) Abandon() error { return f.file.Abandon() }

// Write writes the page of a run or a plan.
func Write(w io.Writer, p Page) error { return p.document().write(w) }

// WriteUsage writes the page of what uses the space.
func WriteUsage(w io.Writer, u sinks.Usage) error { return usageDocument(u).write(w) }

func (d document) write(w io.Writer) error {
	t, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("read the template of the page: %w", err)
	}
	var b bytes.Buffer
	err = t.Execute(&b, struct {
		document
		CSP   string
		Style template.CSS
	}{d, policy(), template.CSS(styleSheet)}) //nolint:gosec // it is ours, and has nothing of a stranger in it
	if err != nil {
		return fmt.Errorf("make the page: %w", err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// policy is the Content-Security-Policy: nothing may be loaded, run or sent, and no style but ours applies.
func policy() string {
	sum := sha256.Sum256([]byte(styleSheet))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
}
