-- What people build today: no strict framing, no admission, nothing durable.
local M = {}
local evidence = ngx.shared.evidence
local key = string.rep("\7", 32)

function M.request()
    ngx.req.read_body()
    local fields = ngx.req.get_post_args(64)
    local customer = ngx.decode_base64(fields.customerInfo or "")
    if not customer or not fields.accNo then return ngx.exit(422) end
    local name = string.match(customer, "customerNm=([^&}]*)")
    local id = string.match(customer, "certifId=([^&}]*)")
    local phone = string.match(customer, "phoneNo=([^&}]*)")
    local tuple = ngx.hmac_sha1(key, table.concat({ fields.accNo, name, id, phone }, "\n"))
    -- The first time it is asked about, here by the warm-up.
    if not evidence:get(tuple) then evidence:set(tuple, 1) end
    ngx.ctx.tuple = tuple
end

function M.answer()
    local chunk = ngx.arg[1]
    if chunk and chunk ~= "" then
        local fields = ngx.decode_args(chunk, 64)
        if fields.respCode == "66" then evidence:delete(ngx.ctx.tuple) end
    end
end

return M
