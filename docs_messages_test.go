package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// anything stands in a message for what is only known when it is written: a file, a number, another error.
const anything = "…"

// message is a text that the program may write when something is wrong.
type message struct{ text, where string }

// messages finds every error message in the sources of the program: what item.RunError says was being done, problems with
// the configuration, and the sentinel errors.
func messages(t *testing.T) []message {
	t.Helper()
	var found []message
	for _, dir := range programDirs(t) {
		found = append(found, readSources(t, dir).messages()...)
	}
	slices.SortFunc(found, func(a, b message) int { return strings.Compare(a.text+a.where, b.text+b.where) })
	return slices.CompactFunc(found, func(a, b message) bool { return a.text == b.text })
}

// programDirs are the directories with Go code that is in the program.
func programDirs(t *testing.T) (dirs []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !d.IsDir():
			return nil
		case path != "." && strings.HasPrefix(d.Name(), "."), slices.Contains([]string{
			"bench", "bin", "deploy", "docs", "internal/release", "internal/sandbox", "proof", "scripts", "testdata", "tools", "internal/item",
		}, path):
			return filepath.SkipDir
		}
		dirs = append(dirs, path)
		return nil
	})
	if err != nil || len(dirs) < 15 {
		t.Fatal(dirs, err)
	}
	return dirs
}

// sources is a package as it is written.
type sources struct {
	set   *token.FileSet
	files []*ast.File
	// texts are what names of the package, and of the function that is being read, stand for.
	texts, local map[string][]ast.Expr
	// saying are the functions and the number of their argument that says what was being done or what is wrong.
	saying map[string]int
}

func readSources(t *testing.T, dir string) *sources {
	t.Helper()
	s := &sources{
		set: token.NewFileSet(), texts: map[string][]ast.Expr{},
		saying: map[string]int{"Failed": 0, "Refused": 0}, // of package connect
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(s.set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		s.files = append(s.files, file)
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok {
				s.noteSaying(f)
			} else {
				ast.Inspect(decl, remember(s.texts))
			}
		}
	}
	return s
}

// noteSaying notes a function that is given what was being done or what is wrong.
func (s *sources) noteSaying(f *ast.FuncDecl) {
	results := f.Type.Results
	if results == nil && f.Name.Name != "problem" || results != nil && typeName(results.List[len(results.List)-1].Type) != "error" {
		return
	}
	at := 0
	for _, field := range f.Type.Params.List {
		for _, name := range field.Names {
			if slices.Contains([]string{"doing", "problem"}, name.Name) && typeName(field.Type) == "string" {
				s.saying[f.Name.Name] = at
			}
			at++
		}
	}
}

// remember notes what a name stands for. One name can stand for several texts: then each is taken.
func remember(texts map[string][]ast.Expr) func(ast.Node) bool {
	note := func(left, right ast.Expr) {
		if name, ok := left.(*ast.Ident); ok {
			texts[name.Name] = append(texts[name.Name], right)
		}
	}
	return func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for i, value := range n.Values {
				note(n.Names[i], value)
			}
		case *ast.AssignStmt:
			if n.Tok != token.ADD_ASSIGN && len(n.Lhs) == len(n.Rhs) {
				for i := range n.Lhs {
					note(n.Lhs[i], n.Rhs[i])
				}
			}
		}
		return true
	}
}

// messages are those of the package.
func (s *sources) messages() (found []message) {
	for _, file := range s.files {
		for _, decl := range file.Decls {
			s.local = map[string][]ast.Expr{}
			if _, ok := decl.(*ast.FuncDecl); ok {
				ast.Inspect(decl, remember(s.local))
			}
			ast.Inspect(decl, func(n ast.Node) bool {
				for _, e := range s.said(n) {
					for _, text := range s.resolve(e, 0) {
						if canBeLookedFor(text) {
							found = append(found, message{text, s.set.Position(n.Pos()).String()})
						}
					}
				}
				return true
			})
		}
	}
	return found
}

// canBeLookedFor says whether there is enough in a text beside values.
func canBeLookedFor(text string) bool {
	const few = 6
	return !strings.Contains(text, anything) || len(regexp.MustCompile(`[a-zA-Z]`).FindAllString(text, -1)) > few
}

// said are the expressions of messages at a node.
func (s *sources) said(n ast.Node) (said []ast.Expr) {
	switch n := n.(type) {
	case *ast.CompositeLit:
		if name := typeName(n.Type); name == "RunError" || name == "FieldError" {
			for _, element := range n.Elts {
				if pair, ok := element.(*ast.KeyValueExpr); ok && slices.Contains([]string{"Doing", "Problem"}, typeName(pair.Key)) {
					said = append(said, pair.Value)
				}
			}
		}
	case *ast.CallExpr:
		if at, says := s.saying[typeName(n.Fun)]; says && at < len(n.Args) {
			said = append(said, n.Args[at])
		}
		if isCall(n, "errors", "New") || isCall(n, "fmt", "Errorf") && !onlyWraps(n.Args[0]) {
			said = append(said, n.Args[0])
		}
	}
	return said
}

// onlyWraps says that an error only tells what was being done when another came.
func onlyWraps(format ast.Expr) bool {
	text, ok := format.(*ast.BasicLit)
	const sentence = 12 // words that say what is wrong, before what says so as well
	return ok && (strings.HasSuffix(text.Value, `: %w"`) && strings.Count(text.Value, " ") < sentence || strings.HasPrefix(text.Value, `"%w`))
}

func isCall(call *ast.CallExpr, pkg, name string) bool {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	return ok && typeName(selector.X) == pkg && selector.Sel.Name == name
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// resolve is what an expression may say; what cannot be known from the source is anything.
func (s *sources) resolve(e ast.Expr, depth int) (texts []string) {
	if depth > 5 {
		return []string{anything}
	}
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		if err == nil && e.Kind == token.STRING {
			return []string{regexp.MustCompile(`%[-+#0-9.]*[a-zA-Z]`).ReplaceAllString(text, anything)}
		}
	case *ast.BinaryExpr:
		for _, left := range s.resolve(e.X, depth+1) {
			for _, right := range s.resolve(e.Y, depth+1) {
				texts = append(texts, left+right)
			}
		}
		return texts
	case *ast.CallExpr:
		if (isCall(e, "fmt", "Sprintf") || isCall(e, "fmt", "Errorf") || isCall(e, "errors", "New")) && len(e.Args) > 0 {
			return s.resolve(e.Args[0], depth+1)
		}
	case *ast.Ident:
		values, local := s.local[e.Name]
		if !local {
			values = s.texts[e.Name]
		}
		for _, value := range values {
			switch value.(type) {
			case *ast.BasicLit, *ast.BinaryExpr:
				texts = append(texts, s.resolve(value, depth+1)...)
			}
		}
		if texts != nil {
			return texts
		}
	}
	return []string{anything}
}

// TestEveryErrorMessageHasItsEntry compares what the program may say with docs/troubleshooting.md, both ways.
func TestEveryErrorMessageHasItsEntry(t *testing.T) {
	content, err := os.ReadFile("docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	explained := map[string]bool{}
	for _, line := range regexp.MustCompile("(?m)^- `(.*)`$").FindAllStringSubmatch(string(content), -1) {
		text := strings.ReplaceAll(line[1], "``", "`")
		if explained[text] {
			t.Errorf("two entries explain %q", text)
		}
		explained[text] = true
	}
	said := messages(t)
	if len(said) < 200 {
		t.Fatalf("%d messages found in the program", len(said))
	}
	for _, m := range said {
		if !explained[m.text] {
			t.Errorf("docs/troubleshooting.md has no entry with - `%s` (%s)", m.text, m.where)
		}
		delete(explained, m.text)
	}
	for text := range explained {
		t.Errorf("docs/troubleshooting.md explains %q, which nothing says", text)
	}
}
