// Package planfile keeps a plan in a file: what a run with the same configuration would do, to be read by somebody before
// it is carried out, and nothing beyond it then.
//
// # The file
//
// It is one JSON document of ASCII characters, one item a line and in the order of the flows and of the items' ids, so
// that two plans can be compared line by line.
//
//	synupkeep_plan      1, the format
//	made_at             by the database's clock: every age is counted from it
//	made_by             the version of synupkeep
//	server:
//	  name              of the homeserver
//	  database          tells its database from every other one, as far as can be told
//	  transaction, position, newest_events
//	                    how far the database was. In one that was put back to an earlier state, it is less, or something else
//	settings            what decides what is in a plan: the names are those of the flags
//	fingerprint         SHA-256 of the settings
//	cut_offs            of each flow: everything older was due
//	totals              of each flow: items, with messages (history) or bytes (media, without thumbnails)
//	history             rooms:
//	  room              its id
//	  depth             events with a smaller depth go; means nothing with under_way
//	  event             the id that Synapse would have been given
//	  held_by           what keeps the cut from being higher
//	  messages          how many go
//	  under_way         a purge that was under way already: it is waited for, and none is begun
//	local-media, remote-media, previews:
//	  media             the mxc URI
//	  bytes             as the database has it, without thumbnails
//	sha256              of everything before it
//
// The checksum finds a file that was cut short or edited; it is no signature. It need not be one: a plan only ever takes
// away from what a run with the same configuration would do by itself.
package planfile
