package page

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"html/template"
	"image/color"
	"io"
	"regexp"
	"strings"
)

// What is drawn has one of these colours, each of which stands for a class of the style sheet.
func inkColour() color.Color    { return colour(1) }
func quietColour() color.Color  { return colour(2) }
func gridColour() color.Color   { return colour(3) }
func firstColour() color.Color  { return colour(4) }
func secondColour() color.Color { return colour(5) }
func markColour() color.Color   { return colour(6) }

func colour(n uint8) color.Color { return color.RGBA{R: n, A: 255} }

// class is that of a colour as it is written, empty for one that is not among them.
func class(written string) string {
	return map[string]string{
		"none": "none", "#010000": "ink", "#020000": "quiet", "#030000": "grid", "#040000": "first", "#050000": "second", "#060000": "mark",
	}[written]
}

var errDrawing = errors.New("the drawing has what no plot has")

// drawing takes over, of an SVG that was drawn, what a plot needs, and adds what it says for whoever does not see it.
func drawing(drawn []byte, says string) (template.HTML, error) {
	var b strings.Builder
	d := xml.NewDecoder(bytes.NewReader(drawn))
	depth := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("read a drawing: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if err := begin(&b, t, depth == 0, says); err != nil {
				return "", err
			}
			depth++
		case xml.EndElement:
			depth--
			b.WriteString("</" + t.Name.Local + ">")
		case xml.CharData:
			b.WriteString(html.EscapeString(strings.TrimSpace(string(t))))
		}
	}
	if depth != 0 || b.Len() == 0 {
		return "", errDrawing
	}
	return template.HTML(b.String()), nil //nolint:gosec // every element, attribute and number was looked at, every text escaped
}

func begin(b *strings.Builder, e xml.StartElement, outermost bool, says string) error {
	if outermost != (e.Name.Local == "svg") {
		return fmt.Errorf("%w: element %q", errDrawing, e.Name.Local)
	}
	switch e.Name.Local {
	case "svg", "g", "path", "text":
	default:
		return fmt.Errorf("%w: element %q", errDrawing, e.Name.Local)
	}
	b.WriteString("<" + e.Name.Local)
	for _, a := range e.Attr {
		if err := attribute(b, a); err != nil {
			return err
		}
	}
	if outermost {
		b.WriteString(` role="img" aria-label="` + html.EscapeString(says) + `"><title>` + html.EscapeString(says) + "</title>")
		return nil
	}
	b.WriteString(">")
	return nil
}

// numbers is what may stand in an attribute: nothing that could name or run something.
var numbers = regexp.MustCompile(`^[-+0-9.,eEMLHVCSQTAZmlhvcsqtaz ]*$`)

// moves is what may stand in a transform.
var moves = regexp.MustCompile(`^((scale|translate|rotate)\([-+0-9., eE]*\) ?)*$`)

func attribute(b *strings.Builder, a xml.Attr) error {
	allowed := numbers
	switch a.Name.Local {
	case "viewBox", "d", "x", "y":
	case "transform":
		allowed = moves
	case "style":
		return style(b, a.Value)
	case "width", "height", "xmlns", "xlink":
		return nil // as wide as there is place for it
	default:
		return fmt.Errorf("%w: attribute %q", errDrawing, a.Name.Local)
	}
	if !allowed.MatchString(a.Value) {
		return fmt.Errorf("%w: %s=%q", errDrawing, a.Name.Local, a.Value)
	}
	b.WriteString(" " + a.Name.Local + `="` + a.Value + `"`)
	return nil
}

// style makes classes and attributes of a style, which the Content-Security-Policy would forbid.
func style(b *strings.Builder, declarations string) error {
	var classes []string
	for declaration := range strings.SplitSeq(declarations, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(declaration), ":")
		switch name {
		case "fill", "stroke":
			c := class(value)
			if c == "" {
				return fmt.Errorf("%w: %s %q", errDrawing, name, value)
			}
			classes = append(classes, name+"-"+c)
		case "stroke-width", "stroke-dasharray", "stroke-dashoffset", "font-size":
			value = strings.TrimSuffix(value, "px")
			if !numbers.MatchString(value) {
				return fmt.Errorf("%w: %s %q", errDrawing, name, value)
			}
			b.WriteString(" " + name + `="` + value + `"`)
		case "", "font-family", "font-variant", "font-weight", "font-style", "fill-opacity", "stroke-opacity":
		default:
			return fmt.Errorf("%w: style %q", errDrawing, name)
		}
	}
	if len(classes) > 0 {
		b.WriteString(` class="` + strings.Join(classes, " ") + `"`)
	}
	return nil
}
