// Package flow joins stages by channels: sources yield items, stages work on them side by side, one sink ends every
// flow. It knows nothing of what flows.
//
//	        ┌──────┐       ┌─────┐       ┌───────┐        ┌─────┐
//	yield ─▶│ From ├──────▶│ Map ├──────▶│ Fork  ├─ left ▶│ Map ├───┐
//	        └──▲───┘       │ ×n  │       │  ×n   │        │ ×n  │   │  ┌───────┐      ┌───────┐
//	           │           └─────┘       │       │        └─────┘   ├─▶│ Merge ├─────▶│ Drain │
//	           │                         │       ├─ right ──────────┘  └───────┘      └───────┘
//	           │                         └───────┘
//	         feed done: no new item enters; all that entered goes through to Drain
//	         ctx done:  every stage leaves at once, nothing new is begun
//
// # Five rules
//
//  1. The sender closes, once; of several senders the last one. A stage that fails cancels the pipeline before it
//     closes, so that nobody downstream takes the end of a broken input for its end.
//  2. Every send and every receive also selects on the context and looks at it first and last, because select picks at
//     random among what is ready. A stage that leaves because of the context returns its cause, never nil.
//  3. The group has no limit, or the stages of one flow would wait for each other for ever. How wide a stage is, is an
//     argument of the stage.
//  4. Every channel ends in another stage, and the last one in exactly one Drain; Wait is called once everything is wired.
//  5. Channels have no buffer. The slowest stage slows the source, and memory grows with the number of workers and
//     with nothing else. [Collect] alone holds more, and promises so.
//
// # Two ways to stop
//
// A soft stop (feed is done, or a stage called [Pipeline.StopFeeding]) ends the sources and nothing else. What has
// entered goes on to the sink; stages that want to spare work from there on ask [Pipeline.Stopping]. A soft stop is not
// an error.
//
// A hard stop (ctx is done, or a stage returned an error) ends everything. What a worker had in hand when it came may be
// finished without its result reaching the sink.
//
// An error that a stage returns is one of the run. What went wrong with one item is a value that flows on.
//
// A panic in a stage ends the process.
package flow
