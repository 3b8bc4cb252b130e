// Package progress says how far a run is, while it runs: by bars on a terminal, by a line of the log a minute elsewhere,
// and as a text whenever somebody asks.
//
// Whoever runs the flows tells a [Board]: which phase the run is in, which flow began, what is in flight, what ended. That
// costs an atomic addition for each item, and a lock that nobody holds for long for each room, call or batch. Nothing that
// a Board is told waits for a terminal or a log: these look at the Board, in their own time.
//
// # On a terminal
//
// The log and the bars share a [Screen]. The lines of the bars are laid out and drawn by cheggaaa/pb; where they stand on
// the terminal is the Screen's: pb's pool would write beside the log, turn off the echo of the terminal and listen for the
// signals that end a run in two steps, and it takes texts apart in which a stranger's room name could stand.
//
// The cursor rests where the bars begin, not behind them: a terminal that is resized wraps their lines anew and takes the
// cursor along. So what is drawn next begins at the right place, and no line of the log is taken for one of theirs; at worst
// a piece of an old bar stays above. Lines are measured, and while they are drawn the terminal is told not to wrap: it may
// see another width than we do.
//
// There are no colours, with NO_COLOR and without.
//
// # What is not said
//
// A percentage and a remaining time need a total. History knows its rooms when it has listed them, and how large they are
// up to a limit; of media somebody has to count the rows, which is done beside the run, only when somebody looks, and not
// for long. Without it, and when nothing has ended for a while, no remaining time is shown.
package progress
