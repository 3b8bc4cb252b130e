package config

import (
	"slices"
	"strings"
	"time"

	"synupkeep/internal/item"
)

const (
	driftReport, driftDelete = "report", "delete"
	// leastGrace is longer than any upload or download takes: Synapse writes the file before the row.
	leastGrace = time.Hour
	// uploadLifetime is that of Synapse where nothing else is configured (config/repository.py:151, 1.163.2).
	uploadLifetime = day
)

// readDrift reads what is to become of drift. Its grace is the age of the flow.
func (r *reader) readDrift(cfg *Config, via Via) {
	cfg.Drift = Drift{Delete: r.driftFindings()}
	grace := r.duration("drift-grace", day, leastGrace)
	if !slices.Contains(cfg.Flows, item.Drift) {
		if value, source, _ := r.single("drift"); len(cfg.Drift.Delete) > 0 && r.command.deletes() {
			r.warn(source + " " + value + " does nothing as long as drift does not run: it does when it is named, as in --only history,drift")
		}
		return
	}
	cfg.Drift.UploadLifetime = uploadLifetime
	_, source, _ := r.single("drift-grace")
	cfg.Ages[item.Drift], cfg.origins[item.Drift] = Age{Delta: grace}, ageOrigin{source, formatDuration(grace)}
	if via == ViaAPI {
		r.problem(r.settings["only"].source, string(item.Drift), "cannot be found with --media-via api: it is on the disk", "--media-via disk")
	}
	if cfg.Synapse == nil {
		return
	}
	if len(cfg.Synapse.Providers) > 0 {
		r.problem(r.settings["only"].source, string(item.Drift), "cannot be told where "+cfg.Synapse.Files[0]+
			" has media_storage_providers: there, rows without a local file are as they should be", joinFlows(item.Flows()))
	}
	if cfg.Synapse.UnusedExpiration > 0 {
		cfg.Drift.UploadLifetime = cfg.Synapse.UnusedExpiration
	}
}

// driftFindings reads report, delete, or a list of findings.
func (r *reader) driftFindings() (found []item.Reason) {
	value, source, given := r.single("drift")
	if !given {
		return nil
	}
	words := strings.Split(value, ",")
	for _, word := range words {
		word = strings.TrimSpace(word)
		finding := item.Reason(word)
		switch {
		case word == driftReport && len(words) == 1:
		case word == driftDelete:
			found = append(found, item.Deletable()...)
		case slices.Contains(item.Deletable(), finding), slices.Contains(item.DeletableByName(), finding):
			found = append(found, finding)
		default:
			r.problem(source, word, "is not known", "report, delete, or a list of "+driftWords())
		}
	}
	if len(found) == 0 {
		return nil
	}
	all := slices.Concat(item.Deletable(), item.DeletableByName())
	return slices.DeleteFunc(all, func(f item.Reason) bool { return !slices.Contains(found, f) })
}

func driftWords() string {
	var words []string
	for _, finding := range slices.Concat(item.Deletable(), item.DeletableByName()) {
		words = append(words, string(finding))
	}
	return strings.Join(words, ", ")
}
