package page

import "synupkeep/sinks"

func usageDocument(u sinks.Usage) document { return document{} }
