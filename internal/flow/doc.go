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
//	         ctx done:  the same, and no stage works on it any more
//
// # Five rules
//
//  1. The sender closes, once; of several senders the last one. A stage that fails cancels the pipeline before it
//     closes, so that nobody downstream takes the end of a broken input for its end.
//  2. A stage reads its input to the end, whatever happens, and so every send finds its reader: no item gets lost in a
//     channel. Only sources leave their loop when the context is done.
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
// A hard stop (ctx is done, or a stage returned an error) ends the sources and all work. What has entered still goes on to
// the sink, so that each item has its outcome: the functions of the stages are called with a context that is done, and
// must then return at once, with a result that says that nothing was begun, or how far the work in hand got. Wait returns
// the cause. It is as quick as the slowest call that is under way: a function that does not heed its context holds it up.
//
// An error that a stage returns is one of the run, and the item it had in hand has no outcome. What went wrong with one
// item is a value that flows on.
//
// A panic in a stage ends the process.
package flow
