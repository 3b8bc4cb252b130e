package planfile

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"synupkeep/internal/item"
)

// longest is how long a line may be, in bytes. An id has a few hundred at most.
const longest = 1 << 20

// Writer collects what a plan holds and puts it in order. What it has been given lies in an unnamed file, but for the
// last megabytes. It is safe for use by several goroutines.
type Writer struct {
	mu    sync.Mutex
	spool *spool
	err   error
}

// NewWriter makes a Writer with its unnamed file in this directory. Close is owed.
func NewWriter(dir string) (*Writer, error) {
	s, err := newSpool(dir)
	if err != nil {
		return nil, fmt.Errorf("collect the items of the plan in %s: %w", dir, err)
	}
	return &Writer{spool: s}, nil
}

// AddRoom adds a room.
func (w *Writer) AddRoom(room Room) error {
	return w.add(item.History, room.ID, room, room.Messages)
}

// AddMedia adds media of a flow. What is added twice is there once.
func (w *Writer) AddMedia(flow item.Flow, media Media) error {
	return w.add(flow, media.Key, media, media.Bytes)
}

func (w *Writer) add(flow item.Flow, key string, v any, amount int64) error {
	key = strings.ToValidUTF8(key, "\uFFFD") // as it stands in the line
	line, err := encode(v)
	if err == nil && len(line) > longest-16 {
		err = fmt.Errorf("an id of %d bytes is too long", len(key))
	}
	if err != nil {
		return fmt.Errorf("add to the plan: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = w.spool.add(record{rank: slices.Index(item.AllFlows(), flow), key: key, line: line, amount: amount})
	}
	if w.err != nil {
		return fmt.Errorf("add to the plan: %w", w.err)
	}
	return nil
}

// Write writes the plan. flows are those that it covers: each has its totals, also when nothing of it goes. The head's
// format, fingerprint and totals need not be set.
func (w *Writer) Write(out io.Writer, head Head, flows []item.Flow) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	totals, err := w.totals(flows)
	if err != nil {
		return err
	}
	head = head.normal()
	head.Format, head.Fingerprint, head.Totals = format, head.Settings.Fingerprint(), totals
	text, err := encodeHead(head)
	if err != nil {
		return err
	}
	sum := sha256.New()
	buf := bufio.NewWriterSize(out, 1<<16)
	body := bufio.NewWriterSize(io.MultiWriter(buf, sum), 1<<16)
	_, _ = body.Write(append(text, ",\n"...)) // a bufio.Writer keeps its error for Flush
	if err := w.items(body, flows); err != nil {
		return err
	}
	if err := body.Flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(buf, "%s%s\"\n}\n", sumLine, hex.EncodeToString(sum.Sum(nil)))
	return buf.Flush()
}

func (w *Writer) totals(flows []item.Flow) (map[item.Flow]Total, error) {
	totals := map[item.Flow]Total{}
	for _, f := range flows {
		totals[f] = Total{}
	}
	all := item.AllFlows()
	err := w.spool.each(func(r record) error {
		if r.rank < 0 {
			return fmt.Errorf("%s is of no flow", r.key)
		}
		t, ok := totals[all[r.rank]]
		if !ok {
			return fmt.Errorf("%s is not among the flows of the plan", all[r.rank])
		}
		totals[all[r.rank]] = t.plus(all[r.rank], r.amount)
		return nil
	})
	return totals, err
}

// normal returns a copy with times in UTC, and without nil.
func (h Head) normal() Head {
	h.MadeAt = h.MadeAt.Round(0).UTC()
	cutOffs := map[item.Flow]time.Time{}
	for flow, at := range h.CutOffs {
		cutOffs[flow] = at.Round(0).UTC()
	}
	h.CutOffs, h.Settings = cutOffs, h.Settings.normal()
	h.Server.NewestEvents = append([]Event{}, h.Server.NewestEvents...)
	return h
}

func (t Total) plus(flow item.Flow, amount int64) Total {
	t.Items++
	if flow == item.History {
		t.Messages += amount
	} else {
		t.Bytes += amount
	}
	return t
}

// items writes the sections of all flows.
func (w *Writer) items(out *bufio.Writer, flows []item.Flow) error {
	flows = inOrder(flows)
	at, first := -1, true
	open := func() {
		at, first = at+1, true
		_, _ = out.WriteString(sectionLine(flows[at]) + "\n")
	}
	end := func() {
		if !first {
			_ = out.WriteByte('\n')
		}
		_, _ = out.WriteString(endLine + "\n")
	}
	all := item.AllFlows()
	err := w.spool.each(func(r record) error {
		for at < 0 || flows[at] != all[r.rank] {
			if at >= 0 {
				end()
			}
			open()
		}
		if !first {
			_, _ = out.WriteString(",\n")
		}
		first = false
		_, _ = out.WriteString(itemIndent)
		_, err := out.Write(r.line)
		return err
	})
	if err != nil {
		return err
	}
	for at < len(flows)-1 {
		if at >= 0 {
			end()
		}
		open()
	}
	if at >= 0 {
		end()
	}
	return nil
}

// The lines that are not items.
const (
	itemIndent = "    "
	endLine    = "  ],"
	sumLine    = `  "sha256": "`
)

func sectionLine(flow item.Flow) string { return `  "` + string(flow) + `": [` }

// inOrder are the flows in the order of a run, each once.
func inOrder(flows []item.Flow) []item.Flow {
	return slices.DeleteFunc(item.AllFlows(), func(f item.Flow) bool { return !slices.Contains(flows, f) })
}

// Close gives up what was collected.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = errors.New("it is closed")
	}
	return w.spool.close()
}
