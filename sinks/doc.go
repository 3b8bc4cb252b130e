// Package sinks is where outcomes end. A [Tally] adds them up, a [Summary] says what a run did, [WriteTable] prints it
// for people, [WriteJSON] for programs, and a [Report] keeps it in a file. [Outcomes] writes a line for each of them,
// [Metrics] a text file for Prometheus, and a [Ping] tells a URL. docs/reports.md says what each promises; the two schemas
// beside it describe the JSON, and the tests hold them against what is written.
//
// # The summary as JSON
//
// It is a public interface: keys and words stay as they are, new keys may be added. Durations are seconds, sizes are
// bytes, times are RFC 3339 in UTC. Lists and maps are never null. The keys of the maps are the reasons of package item
// and nothing else; free text stands in values only. One reason has a part that comes from the database: state:<type>
// names the type of a state event, which anybody may have made up. It is a plain word; the first 50 types of a flow are
// told apart, the rest counts as state. Characters that a terminal might act upon are written as \u escapes, so that the
// output can be looked at as it is. The access token and the password of the database are replaced by *** in every text.
//
//	schema              1; it changes when the meaning of a key does, and not when one is added
//	version             of synupkeep
//	command             run, or plan: then nothing was deleted, and everything is what a run would do
//	server_name         of the homeserver, empty if it could not be asked
//	server_version      of Synapse, empty if it could not be asked
//	started, ended      left out while unknown
//	duration_s
//	exit_code           follows from causes
//	causes              why exit_code is not 0, the deciding one first: usage, token, locked, refused, failed,
//	                    interrupted, terminated, items failed, work left
//	errors              what ended the run or a flow:
//	  cause             one of causes
//	  doing             what was being done, on what
//	  error             what went wrong
//	  hint              what to do about it, may be empty
//	warnings            what the operator should know
//	flows               those that were asked for, in the order of a run:
//	  flow              history, local-media, remote-media, previews
//	  cut_off           everything older was due; left out while unknown
//	  ran               false if the run ended before the flow began
//	  duration_s        0 if the flow did not end
//	  examined          items; always done + kept + skipped + left + failed
//	  done              rooms purged, media deleted
//	  kept, skipped, left                                 items; left for the reason "files left" are media whose row is
//	                    deleted and whose files the next run deletes
//	  kept_by_reason, skipped_by_reason, left_by_reason   the same, by reason
//	  failed            items
//	  bytes_by_status   of media, by what became of it: done, kept, skipped, failed, left. As the database has the
//	                    lengths, without thumbnails
//	  held_by           history: rooms done, by what held their cut
//	  rows_deleted      messages in history, media rows elsewhere
//	  pinned_deleted    history: how many of the messages were pinned in their room
//	  shown_deleted     local-media, with --keep-shown=false: how many of the rows were of media that kept events show
//	  shown_bytes_freed the bytes of those
//	  finished          media of which an earlier run had deleted the row, and this one files
//	  files_deleted     thumbnails included
//	  files_missing     content files that were not there any more
//	  bytes_freed       on disk, thumbnails included; history frees nothing that can be counted at once
//	  retries           calls that had to be made again
//	  error             why the flow could not do its work, empty if it could
//	  by_room           history: the rooms with the most deleted messages, the most first, as many as --top says:
//	    room_id, name, alias, members, encrypted, events, messages
//	                    events are those in the database at the end, 0 where they were not counted; messages those that
//	                    were deleted
//	  by_user           local-media: the uploaders with the most bytes freed; "" is nobody
//	  by_origin         remote-media: the servers
//	  by_type           media: the MIME types, without parameters
//	    key, items, bytes
//	  by_day            media: what was deleted, by the day (UTC) on which this server got it, in the order of the days:
//	    day, items, bytes
//	  shares_uncertain_bytes  0 unless there are more than thousands of users, origins or types: by how many bytes a
//	                    share may be more than it says
//	failures            the first 1,000 failed items:
//	  flow, key         the key is a room id or an mxc URI, cut after 500 bytes
//	  cause             one line, cut after 500 bytes
//	  hint              what to do about it, left out if there is nothing to say
//	  purge_id          the purge on the server, left out if there was none
//	failures_not_named  how many items failed beyond those
//	left_purges         purges that the server still works on, the first 1,000:
//	  room_id, purge_id
//	left_purges_not_named
//
// # The usage as JSON
//
// [Usage] says what uses the space; [WriteUsage] prints it, [WriteUsageJSON] writes it for programs, with a schema of its own
// that keeps the same promise: docs/usage.schema.json describes each key.
package sinks
