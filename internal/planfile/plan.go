package planfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"synupkeep/internal/item"
)

// format is what this version writes and reads.
const format = 1

// Head is what a plan says before its items.
type Head struct {
	Format int `json:"synupkeep_plan"`
	// MadeAt is the database's clock when the plan was made.
	MadeAt time.Time `json:"made_at"`
	// MadeBy is the version of this program.
	MadeBy string `json:"made_by"`
	Server Server `json:"server"`
	// Settings are what decides what is in a plan.
	Settings    Settings                `json:"settings"`
	Fingerprint string                  `json:"fingerprint"`
	CutOffs     map[item.Flow]time.Time `json:"cut_offs"`
	Totals      map[item.Flow]Total     `json:"totals"`
}

// Server tells the server, and the state of its database.
type Server struct {
	Name string `json:"name"`
	// Database tells the database from every other one, as far as can be told.
	Database string `json:"database"`
	// Transaction is the id of the next one, Position the last stream ordering that the database gave out; 0 where our role may not ask.
	Transaction int64 `json:"transaction"`
	Position    int64 `json:"position"`
	// NewestEvents are some of the newest events with their places in the stream.
	NewestEvents []Event `json:"newest_events"`
}

// Event is an event and its place in the stream. In a plan it is a text with a space between the two.
type Event struct {
	Stream int64
	ID     string
}

// MarshalText implements encoding.TextMarshaler.
func (e Event) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%d %s", e.Stream, e.ID), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (e *Event) UnmarshalText(text []byte) (err error) {
	stream, id, found := strings.Cut(string(text), " ")
	if !found {
		return fmt.Errorf("%q is no place in the stream and an event", text)
	}
	e.ID = id
	e.Stream, err = strconv.ParseInt(stream, 10, 64)
	return err
}

// Settings are the values of flags by their names without dashes. No value is an empty list.
type Settings map[string][]string

// Fingerprint is the SHA-256 of the settings, in hex.
func (s Settings) Fingerprint() string {
	text, _ := json.Marshal(s.normal()) // of strings; the keys are in order
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// normal returns a copy without nil.
func (s Settings) normal() Settings {
	all := Settings{}
	for name, values := range s {
		all[name] = append([]string{}, values...)
	}
	return all
}

// Difference is a setting that is not the same.
type Difference struct {
	Flag     string
	Was, Now []string
}

// Differences are the settings that are not the same now, by name. One that is not there is as one without a value.
func (s Settings) Differences(now Settings) []Difference {
	var found []Difference
	names := slices.Concat(slices.Collect(maps.Keys(s)), slices.Collect(maps.Keys(now)))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !slices.Equal(s[name], now[name]) {
			found = append(found, Difference{Flag: name, Was: s[name], Now: now[name]})
		}
	}
	return found
}

// Total is how much of a flow is in a plan.
type Total struct {
	Items int64 `json:"items"`
	// Messages are of history, Bytes of media.
	Messages int64 `json:"messages,omitempty"`
	Bytes    int64 `json:"bytes,omitempty"`
}

// Room is a room whose history goes.
type Room struct {
	ID string `json:"room"`
	// Depth is where it is cut: events with a smaller depth go. It means nothing with UnderWay.
	Depth    int64       `json:"depth"`
	EventID  string      `json:"event,omitempty"`
	HeldBy   item.Reason `json:"held_by,omitempty"`
	Messages int64       `json:"messages"`
	// UnderWay says that somebody else had begun a purge, of which it is not known where it cuts.
	UnderWay bool `json:"under_way,omitempty"`
}

// Media is media that goes.
type Media struct {
	Key   string `json:"media"` // the mxc URI
	Bytes int64  `json:"bytes"`
}

// encode is one line of JSON in ASCII: an id may hold what turns a line around on the reader's screen.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return ascii(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// ascii writes everything else as \u. What is printable depends on a version of Unicode, and so on that of Go.
func ascii(text []byte) []byte {
	if !bytes.ContainsFunc(text, beyond) {
		return text
	}
	out := make([]byte, 0, 2*len(text))
	for _, r := range string(text) {
		switch {
		case !beyond(r):
			out = append(out, byte(r))
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

func beyond(r rune) bool { return r >= 0x7f }

// encodeHead is the head in several lines, without the brace that ends it.
func encodeHead(h Head) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(h); err != nil {
		return nil, err
	}
	return ascii(bytes.TrimSuffix(b.Bytes(), []byte("\n}\n"))), nil
}
