//! What well-known tokens look like: precise shapes only, each with a prefix or a frame that ordinary text does not have.
//!
//! The shapes are those that the issuers document or that secret scanners agree on.

/// Name and regular expression of each.
pub(crate) const SHAPES: [(&str, &str); 29] = [
    (
        "private-key",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\z)",
    ),
    // The end of one whose beginning is not here: lines of base64 and headers before it.
    (
        "private-key",
        r"(?:[A-Za-z0-9+/=]{1,76}\r?\n){1,200}-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----",
    ),
    ("putty-key", r"(?m)^Private-Lines: \d+\n(?:[A-Za-z0-9+/=]{1,64}\n?){1,200}"),
    ("aws-access-key", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    (
        "aws-secret-key",
        r#"(?i)\baws_?secret_?(?:access_?)?key["']?\s*[=:]\s*["']?[A-Za-z0-9/+]{40}"#,
    ),
    ("github-token", r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b"),
    ("github-token", r"\bgithub_pat_[A-Za-z0-9_]{22,255}\b"),
    ("gitlab-token", r"\bgl(?:pat|ptt|dt|rt|cbt|ft|soat|agent|oas)-[A-Za-z0-9_-]{20,}"),
    ("slack-token", r"\bxox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}"),
    ("slack-webhook", r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,}"),
    ("stripe-key", r"\b(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("google-key", r"\bAIza[A-Za-z0-9_-]{35}"),
    ("google-oauth", r"\bya29\.[A-Za-z0-9_-]{20,}"),
    ("anthropic-key", r"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    ("openai-key", r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{32,}"),
    ("npm-token", r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("pypi-token", r"\bpypi-[A-Za-z0-9_-]{32,}"),
    ("jwt", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    ("azure-key", r"\b(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{40,}={0,2}"),
    ("digitalocean-token", r"\bdo[opr]_v1_[a-f0-9]{64}\b"),
    ("sendgrid-key", r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    ("twilio-key", r"\bSK[0-9a-f]{32}\b"),
    ("vault-token", r"\bhv[sbr]\.[A-Za-z0-9_-]{20,}"),
    ("age-key", r"\bAGE-SECRET-KEY-1[A-Z0-9]{58}\b"),
    ("huggingface-token", r"\bhf_[A-Za-z0-9]{30,}\b"),
    ("url-password", r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{1,128}:(?P<secret>[^\s/@]{1,256})@"),
    (
        "authorization",
        r"(?i)\bauthorization:\s*(?:bearer|basic|token)\s+(?P<secret>[A-Za-z0-9._~+/=-]{8,})",
    ),
    (
        "netrc-password",
        r"(?i)\bmachine\s+\S{1,128}\s+login\s+\S{1,128}\s+password\s+(?P<secret>\S{1,256})",
    ),
    ("password-hash", r"\$(?:1|2[aby]|5|6|7|y|gy|argon2(?:i|d|id))\$[A-Za-z0-9./$,=+-]{20,}"),
];
