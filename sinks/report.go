package sinks

import "io"

// Report is a file that will hold the summary as JSON. See File.
type Report struct{ File }

// CreateReport makes sure, before anything is deleted, that the report can be written. It is of mode 0600: it names rooms
// and media. See CreateFile.
func CreateReport(path string) (*Report, error) {
	f, err := CreateFile(path, FileKind{
		What: "the report", Flag: "report", Mode: 0o600, Missing: "there is no new report, but the output says the same",
	})
	if err != nil {
		return nil, err
	}
	return &Report{File: *f}, nil
}

// Write completes the report. See File.
func (r *Report) Write(s Summary) error {
	return r.File.Write(func(w io.Writer) error { return WriteJSON(w, s) })
}
