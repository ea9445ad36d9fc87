-- Asks Referee whether a request's Referer or client is a current hit.
local HOST, PORT, TIMEOUT = "127.0.0.1", 8610, 0.05

local function ask(r)
  local socket = require("socket")
  local chain = r.useragent_ip
  if r.headers_in["X-Forwarded-For"] then
    chain = r.headers_in["X-Forwarded-For"] .. ", " .. chain
  end
  local request = "GET /v1/check HTTP/1.0\r\nHost: referee\r\nX-Forwarded-For: " .. chain .. "\r\n"
  for _, name in ipairs({ "Referer", "User-Agent" }) do
    if r.headers_in[name] then
      request = request .. name .. ": " .. r.headers_in[name] .. "\r\n"
    end
  end
  request = request .. "X-Original-URI: " .. r.unparsed_uri .. "\r\n"
  local connection = socket.tcp()
  connection:settimeout(TIMEOUT)
  local status
  if connection:connect(HOST, PORT) and connection:send(request .. "\r\n") then
    status = connection:receive("*l")
  end
  connection:close()
  return status ~= nil and status:find("^HTTP/1%.[01] 403") ~= nil
end

function check(r)
  local answered, refused = pcall(ask, r)
  if answered and refused then
    return 403
  end
  return apache2.DECLINED
end
