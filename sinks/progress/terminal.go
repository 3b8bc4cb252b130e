package progress

import (
	"cmp"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"
)

// OnTerminal returns the Screen that writes to stderr, or nil when bars cannot be drawn there: it is no terminal, or one
// that knows nothing but text.
func OnTerminal(stderr io.Writer, lookupEnv func(string) (string, bool)) *Screen {
	file, ok := stderr.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	if name, _ := lookupEnv("TERM"); name == "" || name == "dumb" {
		return nil
	}
	plain := !unicodeTerminal(lookupEnv)
	return &Screen{out: stderr, look: func() look {
		// Asked for each frame: a terminal may change its size at any time.
		width, height, err := term.GetSize(int(file.Fd()))
		if err != nil || width <= 0 || height <= 0 {
			width, height = 80, 24
		}
		return look{width: max(1, width-1), height: height, ascii: plain}
	}}
}

// unicodeTerminal says whether the terminal shows more than ASCII, by what the C library goes by. Where the characters of a
// bar are two columns wide, bars are drawn in ASCII.
func unicodeTerminal(lookupEnv func(string) (string, bool)) bool {
	value := func(name string) string { text, _ := lookupEnv(name); return text }
	locale := strings.ToLower(cmp.Or(value("LC_ALL"), value("LC_CTYPE"), value("LANG")))
	utf8 := strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
	return utf8 && runewidth.RuneWidth('█') == 1
}
