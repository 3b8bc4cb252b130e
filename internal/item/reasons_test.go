package item_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/item"
)

// Metrics and schemas go by the lists: a word that is not in them would be told as something else.
func TestTheListsHaveEveryWord(t *testing.T) {
	written := map[string][]string{}
	for _, name := range []string{"status.go", "drift.go", "cause.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) == 0 {
				return true
			}
			typ, isType := spec.Type.(*ast.Ident)
			value, isText := spec.Values[0].(*ast.BasicLit)
			if isType && isText {
				word, err := strconv.Unquote(value.Value)
				if err != nil {
					t.Fatal(err)
				}
				written[typ.Name] = append(written[typ.Name], word)
			}
			return true
		})
	}
	listed := map[string][]string{}
	for _, r := range item.Reasons() {
		listed["Reason"] = append(listed["Reason"], string(r))
	}
	for _, s := range item.Statuses() {
		listed["Status"] = append(listed["Status"], string(s))
	}
	for _, c := range item.Causes() {
		listed["Cause"] = append(listed["Cause"], string(c))
	}
	if diff := cmp.Diff(written, listed); diff != "" {
		t.Errorf("(-written +listed):\n%s", diff)
	}
}
