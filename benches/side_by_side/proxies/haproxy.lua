-- What people build today: no strict framing, no admission, nothing durable.
local evidence = {}
local key = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="

local function field(body, name)
    return string.match(body, "&" .. name .. "=([^&]*)")
end

core.register_action("request", { "http-req" }, function(txn)
    local body = txn.sf:req_body()
    local customer = txn.c:b64dec(txn.c:url_dec(field(body, "customerInfo")))
    local name = string.match(customer, "customerNm=([^&}]*)")
    local id = string.match(customer, "certifId=([^&}]*)")
    local phone = string.match(customer, "phoneNo=([^&}]*)")
    local tuple = txn.c:hmac(table.concat({ field(body, "accNo"), name, id, phone }, "\n"), "sha1", key)
    if not evidence[tuple] then evidence[tuple] = 1 end
    txn:set_priv(tuple)
end)

core.register_action("answer", { "http-res" }, function(txn)
    if field(txn.sf:res_body(), "respCode") == "66" then evidence[txn:get_priv()] = nil end
    txn.http:res_add_header("Hefu-Decision", "permit;mode=enforce")
end)
