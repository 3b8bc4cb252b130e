// Package pipeline wires sources, stages and sinks into the flows of a run. Each flow has a file of its own that reads,
// top to bottom, as its drawing:
//
//	history       rooms in Postgres ─▶ has work? ─▶ where is it safe to cut? ─▶ purge through the admin API ─┐
//	then, side by side:                                                     (few in flight, paced)          ├─▶ report
//	local media   rows past the cut-off ─▶ still shown? ─▶ delete rows, in batches ─▶ delete files ─────────┤
//	remote media  rows past the cut-off ─▶ ───────────── ─▶ delete rows, in batches ─▶ delete files ─────────┤
//	previews      rows past the cut-off ─▶ ───────────── ─▶ delete rows, in batches ─▶ delete files ─────────┘
//
// Run does what comes before the first delete, then the flows, then the report.
package pipeline
