// Package doctor looks whether a server is healthy and whether this configuration is right for it. It changes nothing: its
// sessions of the database are read-only, its client of the admin API refuses what is no GET, and it takes no lock that a
// run needs.
//
// Every check is made by itself and within its own time. One that fails or hangs does not stop the others; one that needs
// what an earlier check did not find is not made, and says so.
//
// # The findings as JSON
//
// docs/doctor.schema.json is its schema. It is a public interface: keys and words stay as they are, new keys and new checks may be added. Times are RFC 3339 in UTC.
// Lists are never null. Characters that a terminal might act upon are written as \u escapes; the access token and the
// password of the database are replaced by *** in every text.
//
//	schema          1; it changes when the meaning of a key does, and not when one is added
//	version         of synupkeep
//	command         doctor
//	checked         when, by the clock of this machine
//	server_name     of the homeserver, empty if it could not be asked
//	server_version  of Synapse, empty if it could not be asked
//	database        which one, without any secret; empty if it could not be opened
//	result          the worst of the checks: ok, warning or failure
//	exit_code       3 with a failure, else 0; 130 or 143 when a signal ended it
//	counts          how many checks ended in each: ok, warning, failure, not_checked
//	checks          all of them, in the order in which they are made:
//	  name          a stable word, which docs/doctor.md explains
//	  result        ok, warning, failure or not checked
//	  found         what there is
//	  means         what that means; empty where all is well
//	  do            what to do about it; empty where there is nothing to do
//	  details       the first few of what it is about, a line each
//	  duration_s    how long it took
package doctor
