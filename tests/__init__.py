"""The tests: unit (as fer_edge/ is laid out), quantize, integration (real brokers, browsers, packages), hardware."""
