package planfile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"slices"
	"strconv"
	"syscall"

	"synupkeep/internal/item"
)

// mostHead is how large the lines before the items may be together, in bytes.
const mostHead = 16 << 20

// What a file is that cannot be carried out.
var (
	ErrNotAPlan = errors.New("it is not a plan of synupkeep")
	ErrDamaged  = errors.New("it is not as it was written: it was cut short or edited")
)

// FormatError is the error of a plan of another format.
type FormatError struct{ Format string }

func (e *FormatError) Error() string {
	return fmt.Sprintf("it is a plan of format %s, and this version reads format %d", e.Format, format)
}

// LineError is what is wrong with a line. Lines count from 1.
type LineError struct {
	Line int
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

func (e *LineError) Unwrap() error { return e.Err }

// Plan is a plan that was read.
type Plan struct {
	Head
	rooms map[string]Bound
	media map[item.Flow]*Set
}

// Bound is how far the history of a room goes at most.
type Bound struct {
	Depth int64
	// UnderWay says that a purge was under way already: it is waited for, and no other is begun.
	UnderWay bool
}

// Rooms are the rooms of the plan by their ids.
func (p *Plan) Rooms() map[string]Bound { return p.rooms }

// Media is the media of a flow.
func (p *Plan) Media(flow item.Flow) *Set { return p.media[flow] }

// Open reads a plan, whole: it returns one only after it was compared with its checksum. What it holds in memory are the
// ids of the rooms, and eight bytes for each media. A link is followed, anything but a regular file is refused.
func Open(ctx context.Context, path string) (*Plan, error) {
	// Without O_NONBLOCK a pipe would wait for whoever writes to it.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w, it is not even a regular file", ErrNotAPlan)
	}
	return Read(ctx, file)
}

// Read reads a plan. See Open.
func Read(ctx context.Context, from io.Reader) (*Plan, error) {
	return read(newLines(ctx, from, longest))
}

func read(l *lines) (*Plan, error) {
	p, err := parse(l)
	if err == nil {
		return p, nil
	}
	var other *FormatError
	if errors.Is(err, ErrNotAPlan) || errors.Is(err, ErrDamaged) || errors.As(err, &other) || l.ctx.Err() != nil {
		return nil, err
	}
	// Whoever cut it short or edited it need not hear what its remains look like.
	at := l.n
	if l.intact() {
		return nil, &LineError{Line: at, Err: err}
	}
	if l.ctx.Err() != nil {
		return nil, context.Cause(l.ctx)
	}
	return nil, ErrDamaged
}

func parse(l *lines) (*Plan, error) {
	p := &Plan{rooms: map[string]Bound{}, media: map[item.Flow]*Set{}}
	line, err := p.head(l)
	if err != nil {
		return nil, err
	}
	seed := maphash.MakeSeed()
	flows, read := item.AllFlows(), map[item.Flow]bool{}
	for !bytes.HasPrefix(line, []byte(sumLine)) {
		at := slices.IndexFunc(flows, func(f item.Flow) bool { return string(line) == sectionLine(f) })
		if at < 0 {
			return nil, errors.New("here the items of a flow should begin, in the order of a run")
		}
		flow := flows[at]
		flows, read[flow] = flows[at+1:], true
		if err := p.section(l, flow, seed); err != nil {
			return nil, err
		}
		if line, err = l.next(); err != nil {
			return nil, err
		}
	}
	for flow := range p.Totals {
		if !read[flow] {
			return nil, fmt.Errorf("the items of %s are missing", flow)
		}
	}
	return p, l.end(line)
}

// head reads up to the first line that belongs to the items, and returns that.
func (p *Plan) head(l *lines) ([]byte, error) {
	if err := begins(l); err != nil {
		return nil, err
	}
	text := []byte("{\n  \"synupkeep_plan\": " + strconv.Itoa(format) + ",\n")
	for {
		line, err := l.next()
		if err != nil {
			return nil, err
		}
		if isSection(line) || bytes.HasPrefix(line, []byte(sumLine)) {
			return line, p.decodeHead(text)
		}
		if len(text)+len(line) > mostHead {
			return nil, fmt.Errorf("what comes before the items is longer than %d bytes", mostHead)
		}
		text = append(append(text, line...), '\n')
	}
}

// begins reads the two lines by which a plan is known.
func begins(l *lines) error {
	line, err := l.next()
	if err == nil && string(line) != "{" {
		return ErrNotAPlan
	}
	if err == nil {
		line, err = l.next()
	}
	if err != nil {
		if l.ctx.Err() != nil {
			return err
		}
		return ErrNotAPlan
	}
	given, found := bytes.CutPrefix(line, []byte(`  "synupkeep_plan": `))
	given, comma := bytes.CutSuffix(given, []byte(","))
	n, err := strconv.ParseUint(string(given), 10, 32)
	switch {
	case !found || !comma || err != nil:
		return ErrNotAPlan
	case n != format:
		return &FormatError{Format: strconv.FormatUint(n, 10)}
	}
	return nil
}

func isSection(line []byte) bool {
	return slices.ContainsFunc(item.AllFlows(), func(f item.Flow) bool { return string(line) == sectionLine(f) })
}

// decodeHead takes only what would be written again just so: JSON may say a thing twice, and a reader would believe the
// other one.
func (p *Plan) decodeHead(text []byte) error {
	whole := append(bytes.TrimSuffix(text, []byte(",\n")), "\n}"...)
	if err := json.Unmarshal(whole, &p.Head); err != nil {
		return err
	}
	again, err := encodeHead(p.Head)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(again, bytes.TrimSuffix(whole, []byte("\n}"))):
		return errors.New("what comes before the items is not as synupkeep writes it")
	case p.Fingerprint != p.Settings.Fingerprint():
		return errors.New("the fingerprint is not that of the settings")
	}
	for flow := range p.Totals {
		if !slices.Contains(item.AllFlows(), flow) {
			return fmt.Errorf("there is no flow %q", flow)
		}
		if _, ok := p.CutOffs[flow]; !ok {
			return fmt.Errorf("%s has no cut-off", flow)
		}
	}
	return nil
}
