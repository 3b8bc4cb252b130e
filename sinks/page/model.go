package page

import (
	"html/template"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"

	"synupkeep/internal/printable"
)

const (
	// maxText is how many characters of a text of a stranger are shown, maxName of a name among others.
	maxText = 500
	maxName = 120
	// maxRows is how many rows a table has: --top allows more than somebody reads. maxOpen is how many failures are to be
	// seen at once.
	maxRows = 1000
	maxOpen = 20
)

// document is a page as the template takes it.
type document struct {
	Title    string
	Heading  string // what it is of
	Server   string // of which server; may be empty
	Badge    string // in a word or two how it ended
	State    state
	Verdict  string
	Facts    []fact
	Sections []section
	Foot     string
}

// state decides the mark and the colour of the badge.
type state string

const (
	good state = "good"
	fair state = "fair"
	bad  state = "bad"
)

// fact is one of the lines at the top.
type fact struct {
	Name  string
	Value cell
}

// section is a part of the page with a heading of its own. It has any of what follows, in this order.
type section struct {
	ID      string
	Heading string
	Text    string
	Notes   []note
	Tables  []table
	Figures []figure
	Entries entries
}

// note is a message: an error or a warning, with what to do about it.
type note struct {
	State state
	Label string
	Text  string
	Hint  string
}

// table is a table with a caption. The first cell of a row is its heading.
type table struct {
	Caption string
	Note    string
	Key     string // for programs that look for it
	Wide    bool   // so many columns that it may have to be moved on a phone
	Head    []cell
	Rows    []row
}

type row struct {
	Key   string
	Cells []cell
}

// figure is a plot with the numbers that it was drawn from.
type figure struct {
	Caption string
	SVG     template.HTML
	Table   table
}

// entries are items that are named one by one.
type entries struct {
	What string // for the summary of those that are folded away
	Open []entry
	More []entry
	Rest string
}

type entry struct {
	Label string
	Key   string // of the database
	Text  string
	Hint  string
	Extra string
}

// cell is what a cell of a table says.
type cell struct {
	Key     string // for programs
	Text    string
	Value   string // of a number as in JSON
	Time    string // of a time as in JSON
	Sub     string // below it, small
	Foreign bool   // of a stranger
	Code    bool   // an id
	Number  bool
}

func text(s string) cell { return cell{Text: s} }

// head is the heading of a column of numbers.
func head(s string) cell { return cell{Text: s, Number: true} }

func count(n int64) cell {
	return cell{Text: humanize.Comma(n), Value: strconv.FormatInt(n, 10), Number: true}
}

func size(n int64) cell {
	return cell{Text: ibytes(n), Value: strconv.FormatInt(n, 10), Number: true}
}

func moment(t time.Time) cell {
	if t.IsZero() {
		return text("not known")
	}
	return cell{Text: t.UTC().Format("2006-01-02 15:04 UTC"), Time: t.UTC().Format(time.RFC3339)}
}

// none stands where there is nothing to say.
func none() cell { return cell{Text: "–", Number: true} }

// about adds a margin to what was estimated.
func (c cell) about(margin string) cell {
	c.Sub = "± " + margin
	return c
}

func ibytes(n int64) string { return humanize.IBytes(uint64(max(0, n))) }

// foreign is a text of a stranger. The name of what has none is said in our words.
func foreign(s, ifEmpty string) cell {
	if s == "" {
		return text(ifEmpty)
	}
	return cell{Text: clean(s, maxText), Foreign: true}
}

// id is an id of the database.
func id(s string) cell {
	c := foreign(s, "–")
	c.Code = c.Foreign
	return c
}

// clean makes a text printable, of at most so many characters.
func clean(s string, most int) string {
	if len(s) > 4*most {
		s = s[:4*most]
	}
	return clip(printable.Text(s), most)
}

func clip(s string, most int) string {
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:most-1]) + "…"
}

func number(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(n) + " " + many
}
