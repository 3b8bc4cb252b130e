// Package deploy_test checks what operators take over as it is: rules, dashboards.
package deploy_test

import (
	"testing"

	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

func TestX(t *testing.T) { _ = rulefmt.RuleGroups{}; _ = parser.ParseExpr }
