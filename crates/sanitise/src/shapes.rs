//! What well-known tokens look like: precise shapes only, each with a prefix or a frame that ordinary text does not have.
//!
//! The shapes are those that the issuers document or that secret scanners agree on.

/// Name of each, texts of which one must be there (in any case, where it begins with a question mark; then it is a regular
/// expression), and its regular expression.
pub(crate) const SHAPES: [(&str, &[&str], &str); 29] = [
    (
        "private-key",
        &["PRIVATE KEY"],
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\z)",
    ),
    // The end of one whose beginning is not here: lines of base64 and headers before it.
    (
        "private-key",
        &["PRIVATE KEY"],
        r"(?:[A-Za-z0-9+/=]{1,76}\r?\n){1,200}-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----",
    ),
    (
        "putty-key",
        &["Private-Lines"],
        r"(?m)^Private-Lines: \d+\n(?:[A-Za-z0-9+/=]{1,64}\n?){1,200}",
    ),
    ("aws-access-key", &["AKIA", "ASIA"], r"(?-u:\b)(?:AKIA|ASIA)[A-Z2-7]{16}(?-u:\b)"),
    (
        "aws-secret-key",
        &["?aws_?secret"],
        r#"(?i)(?-u:\b)aws_?secret_?(?:access_?)?key["']?\s*[=:]\s*["']?[A-Za-z0-9/+]{40}"#,
    ),
    (
        "github-token",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        r"(?-u:\b)gh[pousr]_[A-Za-z0-9]{36,255}(?-u:\b)",
    ),
    ("github-token", &["github_pat_"], r"(?-u:\b)github_pat_[A-Za-z0-9_]{22,255}(?-u:\b)"),
    (
        "gitlab-token",
        &["glpat-", "glptt-", "gldt-", "glrt-", "glcbt-", "glft-", "glsoat-", "glagent-", "gloas-"],
        r"(?-u:\b)gl(?:pat|ptt|dt|rt|cbt|ft|soat|agent|oas)-[A-Za-z0-9_-]{20,}",
    ),
    ("slack-token", &["xox"], r"(?-u:\b)xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}"),
    (
        "slack-webhook",
        &["hooks.slack.com"],
        r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,}",
    ),
    ("stripe-key", &["k_live_", "k_test_"], r"(?-u:\b)(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("google-key", &["AIza"], r"(?-u:\b)AIza[A-Za-z0-9_-]{35}"),
    ("google-oauth", &["ya29."], r"(?-u:\b)ya29\.[A-Za-z0-9_-]{20,}"),
    ("anthropic-key", &["sk-ant-"], r"(?-u:\b)sk-ant-[A-Za-z0-9_-]{20,}"),
    ("openai-key", &["sk-"], r"(?-u:\b)sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{32,}"),
    ("npm-token", &["npm_"], r"(?-u:\b)npm_[A-Za-z0-9]{36}(?-u:\b)"),
    ("pypi-token", &["pypi-"], r"(?-u:\b)pypi-[A-Za-z0-9_-]{32,}"),
    ("jwt", &["eyJ"], r"(?-u:\b)eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    (
        "azure-key",
        &["AccountKey=", "SharedAccessKey="],
        r"(?-u:\b)(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{40,}={0,2}",
    ),
    ("digitalocean-token", &["_v1_"], r"(?-u:\b)do[opr]_v1_[a-f0-9]{64}(?-u:\b)"),
    ("sendgrid-key", &["SG."], r"(?-u:\b)SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    ("twilio-key", &["SK"], r"(?-u:\b)SK[0-9a-f]{32}(?-u:\b)"),
    ("vault-token", &["hvs.", "hvb.", "hvr."], r"(?-u:\b)hv[sbr]\.[A-Za-z0-9_-]{20,}"),
    ("age-key", &["AGE-SECRET-KEY-1"], r"(?-u:\b)AGE-SECRET-KEY-1[A-Z0-9]{58}(?-u:\b)"),
    ("huggingface-token", &["hf_"], r"(?-u:\b)hf_[A-Za-z0-9]{30,}(?-u:\b)"),
    (
        "url-password",
        &["://"],
        r"(?-u:\b)[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{1,128}:(?P<secret>[^\s/@]{1,256})@",
    ),
    (
        "authorization",
        &["?authorization:"],
        r"(?i)(?-u:\b)authorization:\s*(?:bearer|basic|token)\s+(?P<secret>[A-Za-z0-9._~+/=-]{8,})",
    ),
    (
        "netrc-password",
        &["?machine"],
        r"(?i)(?-u:\b)machine\s+\S{1,128}\s+login\s+\S{1,128}\s+password\s+(?P<secret>\S{1,256})",
    ),
    (
        "password-hash",
        &["$"],
        r"\$(?:1|2[aby]|5|6|7|y|gy|argon2(?:i|d|id))\$[A-Za-z0-9./$,=+-]{20,}",
    ),
];
