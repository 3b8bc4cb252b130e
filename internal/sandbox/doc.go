// Package sandbox runs a real PostgreSQL and a real Synapse for tests, benchmarks and the demo.
//
// Both come from one virtual environment, made from pinned and hash-checked requirements and kept in a cache
// directory ($SYNUPKEEP_SANDBOX_CACHE, else synupkeep-sandbox in the user's cache directory). [Options] choose one of
// several releases of Synapse and of PostgreSQL, $SYNUPKEEP_SANDBOX_SYNAPSE and $SYNUPKEEP_SANDBOX_POSTGRES do it for
// whole suites. Everything a [Server]
// writes lies in its own directory; several run side by side, as root or as an ordinary user. Its processes die with
// the process that started them, and a new start in the directory of a killed predecessor works.
//
// What a single server cannot produce (cached remote media, forks, ages) is planted by [Plant] while Synapse is down.
package sandbox
