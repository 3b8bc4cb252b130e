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
	"strconv"
	"strings"
)

// What is drawn has one of these colours, each of which stands for a class of the style sheet.
func inkColour() color.Color    { return color.RGBA{R: 1, A: 255} }
func quietColour() color.Color  { return color.RGBA{R: 2, A: 255} }
func gridColour() color.Color   { return color.RGBA{R: 3, A: 255} }
func firstColour() color.Color  { return color.RGBA{R: 4, A: 255} }
func secondColour() color.Color { return color.RGBA{R: 5, A: 255} }
func markColour() color.Color   { return color.RGBA{R: 6, A: 255} }

// middle and end are the colour of a text, and which of its points stands where it is drawn. The drawing says where a text
// begins in the font that we measure; the reader may have another one, in which it is wider.
func middle(c color.Color) color.Color { return anchored(c, 1) }
func end(c color.Color) color.Color    { return anchored(c, 2) }

func anchored(c color.Color, at uint8) color.Color {
	r, _, _, _ := c.RGBA()
	return color.RGBA{R: uint8(r >> 8), G: at, A: 255}
}

// class is that of a colour as it is written, and the anchor of a text of it. It is empty for one that is not among them.
func class(written string) (name, anchor string) {
	if written == "none" {
		return written, ""
	}
	var r, g, b uint8
	if n, err := fmt.Sscanf(written, "#%02X%02X%02X", &r, &g, &b); n != 3 || err != nil || b != 0 {
		return "", ""
	}
	names := []string{"", "ink", "quiet", "grid", "first", "second", "mark"}
	anchors := []string{"", "middle", "end"}
	if int(r) >= len(names) || int(g) >= len(anchors) {
		return "", ""
	}
	return names[r], anchors[g]
}

var errDrawing = errors.New("the drawing has what no plot has")

// drawing takes over, of an SVG that was drawn, what a plot needs, and adds what it says for whoever does not see it.
func drawing(drawn []byte, says string) (template.HTML, error) {
	var b strings.Builder
	d := xml.NewDecoder(bytes.NewReader(drawn))
	depth := 0
	var label xml.StartElement // of a text, until what it says is known
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
			if t.Name.Local == "text" {
				label = t.Copy()
			} else if err := begin(&b, t, depth == 0, says); err != nil {
				return "", err
			}
			depth++
		case xml.EndElement:
			depth--
			if label.Name.Local == "" { // else it said nothing
				b.WriteString("</" + t.Name.Local + ">")
			}
			label = xml.StartElement{}
		case xml.CharData:
			words := strings.TrimSpace(string(t))
			if label.Name.Local == "" {
				if words != "" {
					return "", fmt.Errorf("%w: text outside of a text", errDrawing)
				}
				continue
			}
			if err := begin(&b, moved(label, words), false, ""); err != nil {
				return "", err
			}
			label = xml.StartElement{}
			b.WriteString(html.EscapeString(words))
		}
	}
	if depth != 0 || b.Len() == 0 {
		return "", errDrawing
	}
	return template.HTML(b.String()), nil //nolint:gosec // every element, attribute and number was looked at, every text escaped
}

// moved puts the x of a text where its anchor is.
func moved(label xml.StartElement, words string) xml.StartElement {
	part := 0.0
	for _, a := range label.Attr {
		if a.Name.Local != "style" {
			continue
		}
		_, fill, _ := strings.Cut(a.Value, "fill:")
		fill, _, _ = strings.Cut(fill, ";")
		switch _, anchor := class(fill); anchor {
		case "middle":
			part = 0.5
		case "end":
			part = 1
		}
	}
	for i, a := range label.Attr {
		if x, err := strconv.ParseFloat(a.Value, 64); a.Name.Local == "x" && err == nil && part > 0 {
			label.Attr[i].Value = strconv.FormatFloat(x+part*widthOf(words), 'f', 2, 64)
		}
	}
	return label
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
			c, anchor := class(value)
			if c == "" {
				return fmt.Errorf("%w: %s %q", errDrawing, name, value)
			}
			classes = append(classes, name+"-"+c)
			if anchor != "" {
				b.WriteString(` text-anchor="` + anchor + `"`)
			}
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
