package sinks

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"synupkeep/internal/item"
)

// earlier is what the file of an earlier run says.
type earlier struct {
	server  string
	success float64 // when a run last ended well, in seconds; 0 if none has
}

// of is the name of the server and when a run on it last ended well. A run that ended before it knew the name goes by the
// earlier one; what an earlier run did on another server says nothing.
func (e earlier) of(server string) (string, float64) {
	switch server {
	case "", e.server:
		return e.server, e.success
	}
	if e.server == "" {
		return line(server), e.success
	}
	return line(server), 0
}

// readEarlier reads the file of an earlier run, as far as there is one. warnings say why nothing is known of it.
func readEarlier(path string, now time.Time) (e earlier, warnings []string) {
	e, err := parseEarlier(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return earlier{}, nil
	case err == nil && e.success > stamp(now.Add(24*time.Hour)):
		err = errors.New("it tells of a time that has not come yet")
	}
	if err != nil {
		return earlier{}, []string{fmt.Sprintf("the metrics %s of an earlier run cannot be read: %s. When a run last ended well is not known", path, line(err.Error()))}
	}
	return e, nil
}

func parseEarlier(path string) (e earlier, err error) {
	dir, err := openDirOf(path)
	if err != nil {
		return e, err
	}
	defer func() { _ = dir.Close() }()
	file, err := dir.OpenFile(filepath.Base(path), os.O_RDONLY, 0)
	if err != nil {
		return e, err
	}
	defer func() { _ = file.Close() }()
	const most = 4 << 20 // ours has some kilobytes
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(file, most))
	if err != nil {
		return e, err
	}
	family := families[lastSuccess]
	if family.GetType() != dto.MetricType_GAUGE || len(family.GetMetric()) != 1 {
		return e, errors.New("it does not say when a run last ended well")
	}
	metric := family.GetMetric()[0]
	e.success = metric.GetGauge().GetValue()
	if math.IsNaN(e.success) || e.success < 0 || math.IsInf(e.success, 0) {
		return earlier{}, errors.New("it tells of no time at all")
	}
	for _, label := range metric.GetLabel() {
		if label.GetName() == serverLabel {
			e.server = label.GetValue()
		}
	}
	return e, nil
}

// Locked says that a run was refused because another one is at work: the files that say how the last run ended are the
// other one's to write.
func (s Summary) Locked() bool {
	return slices.Contains(s.Causes, item.CauseLocked)
}
