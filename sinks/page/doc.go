// Package page makes a page for a browser of what a run did, a plan would do or usage found: one file that needs nothing
// beside itself. It loads nothing from anywhere, and its Content-Security-Policy forbids to; no script is needed to read it,
// and none is in it.
//
// What the page says is what the summary says, with the same words and numbers. Every number stands in a <data> with the
// value of the JSON, every time in a <time>.
//
// # Texts of strangers
//
// Names of rooms, ids, MIME types and errors may be anything. Each is made printable, so that nothing in it turns what follows
// around, is cut to a length, is escaped by html/template, and stands in a <bdi>. Plots are lines, areas and texts that are drawn
// here: a library that draws them brings fonts and printers along that are a fifth of the program.
//
// # Colours
//
// They are variables of the style sheet: dark where the reader prefers it, light on paper. A plot has classes in the place of
// colours. Blue and orange are told apart by whoever sees colours differently, and no colour is the only thing that tells.
package page
