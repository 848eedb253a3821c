-- Given to wrk. Prints the exact figures instead of rounded ones, and, when called with the arguments
-- FILE PREFIX, posts that file with a start that no request had before: PREFIX and a count, 32 bytes.

function init(args)
  if not args[1] then return end
  local file = assert(io.open(args[1], "rb"))
  local body = file:read("*a")
  file:close()
  local headers = { ["Content-Type"] = "application/octet-stream" }
  for name, value in pairs(wrk.headers) do headers[name] = value end
  local whole = wrk.format("POST", nil, headers, body)
  local head, rest, prefix, count = whole:sub(1, #whole - #body), body:sub(33), args[2], 0
  request = function()
    count = count + 1
    return head .. string.format("%s%016x", prefix, count) .. rest
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "bytes": %d, "seconds": %.6f, "failed": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests, summary.bytes, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
