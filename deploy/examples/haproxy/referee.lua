-- Asks Referee whether a request's Referer or client is a current hit, and sets txn.referee_refuses if it is.
--
-- core.tcp and not core.httpclient: HAProxy's HTTP client retries a connection for seconds. Headers are taken from
-- req_get_headers, whole: the fetch req.hdr() splits at commas, and a Referer may hold some.
local HOST, PORT, TIMEOUT = "127.0.0.1", 8610, 0.05

local function ask(txn)
  local headers = txn.http:req_get_headers()
  local request = { "GET /v1/check HTTP/1.0\r\nHost: referee\r\n" }
  for _, name in ipairs({ "referer", "user-agent" }) do
    if headers[name] then
      request[#request + 1] = name .. ": " .. headers[name][0] .. "\r\n" -- the first, as applications see it
    end
  end
  request[#request + 1] = "X-Original-URI: " .. txn.f:path() .. "\r\n"
  local chain = {}
  for i = 0, headers["x-forwarded-for"] and #headers["x-forwarded-for"] or -1 do
    chain[#chain + 1] = headers["x-forwarded-for"][i]
  end
  chain[#chain + 1] = txn.f:src()
  request[#request + 1] = "X-Forwarded-For: " .. table.concat(chain, ", ") .. "\r\n\r\n"

  local socket = core.tcp()
  socket:settimeout(TIMEOUT)
  local status
  if socket:connect(HOST, PORT) and socket:send(table.concat(request)) then
    status = socket:receive("*l")
  end
  socket:close()
  return status ~= nil and status:find("^HTTP/1%.[01] 403") ~= nil
end

core.register_action("referee", { "http-req" }, function(txn)
  local answered, refused = pcall(ask, txn)
  txn:set_var("txn.referee_refuses", answered and refused)
end, 0)
