//! Which of a host's questions a password answers.
//!
//! The host gets the password in any case when it asks for it plainly. What must not happen is that it answers another question:
//! a one-time code's, where it burns an attempt and stands in a log, or a new password's, where it changes the account.

use regex::{Regex, RegexBuilder};
use russh::client::Prompt as Asked;
use sshepherd_model::HostWords;

/// Longest question, in characters, that is known by its words.
const MAX_KNOWN: usize = 160;
/// Largest compiled pattern of the owner's, in bytes.
const MAX_PATTERN: usize = 256 * 1024;

/// The words for a password in the languages that hosts speak, in lower case.
const PASSWORD: &[&str] = &[
    "password",
    "passwd",
    "passwort",
    "kennwort",
    "mot de passe",
    "contraseña",
    "contrasena",
    "clave de acceso",
    "senha",
    "palavra-passe",
    "palavra passe",
    "parola",
    "wachtwoord",
    "lösenord",
    "losenord",
    "adgangskode",
    "adgangskoden",
    "kodeord",
    "passord",
    "salasana",
    "lykilorð",
    "hasło",
    "haslo",
    "heslo",
    "jelszó",
    "jelszo",
    "geslo",
    "lozinka",
    "zaporka",
    "şifre",
    "sifre",
    "slaptažodis",
    "slaptazodis",
    "parole",
    "parool",
    "contrasenya",
    "pasahitza",
    "contrasinal",
    "fjalëkalimi",
    "пароль",
    "парола",
    "лозинка",
    "құпия сөз",
    "κωδικός πρόσβασης",
    "συνθηματικό",
    "סיסמה",
    "סיסמא",
    "كلمة المرور",
    "كلمة السر",
    "رمز عبور",
    "گذرواژه",
    "पासवर्ड",
    "รหัสผ่าน",
    "mật khẩu",
    "kata sandi",
    "sandi",
    "密码",
    "密碼",
    "口令",
    "パスワード",
    "암호",
    "비밀번호",
    "패스워드",
];

/// Parts of words of questions that another answer belongs to: codes, tokens, new and repeated passwords.
const OTHER: &[&str] = &[
    // A code beside or in place of the password.
    "one-time",
    "one time",
    "onetime",
    "einmal",
    "usage unique",
    "un solo uso",
    "uso único",
    "uso unico",
    "usa e getta",
    "eenmalig",
    "engångs",
    "engangs",
    "jednoraz",
    "jednorázov",
    "kertakäyttö",
    "одноразов",
    "一次性",
    "ワンタイム",
    "일회용",
    "动态",
    "動態",
    "passcode",
    "code",
    "código",
    "codice",
    "kod ",
    "код",
    "verification",
    "verifik",
    "vérification",
    "验证",
    "驗證",
    "検証",
    "인증",
    "token",
    "securid",
    "authenticator",
    "challenge",
    "response",
    "factor",
    "faktor",
    "facteur",
    "google",
    "yubikey",
    "passphrase",
    // The dialogue that changes a password.
    "new",
    "neues",
    "neue",
    "nouveau",
    "nouvelle",
    "nuev",
    "nova ",
    "novo ",
    "nove ",
    "nové",
    "nuova",
    "nieuw",
    "nytt ",
    "nyt ",
    "nowe",
    "uusi",
    "yeni",
    "нов",
    "新",
    "새 ",
    "current",
    "old ",
    "aktuelles",
    "altes",
    "actuel",
    "actual",
    "attuale",
    "huidig",
    "текущ",
    "当前",
    "當前",
    "現在の",
    "retype",
    "re-type",
    "reenter",
    "re-enter",
    "repeat",
    "again",
    "confirm",
    "verify",
    "bestätig",
    "wiederhol",
    "erneut",
    "retap",
    "ressais",
    "répét",
    "repit",
    "repet",
    "ripet",
    "herhaal",
    "bevestig",
    "повтор",
    "подтверд",
    "确认",
    "確認",
    "再次",
    "重复",
    "再入力",
    "もう一度",
    "다시",
    "확인",
    "change",
    "expired",
    "abgelaufen",
];

/// Words that count only when they stand alone.
const OTHER_WORDS: &[&str] =
    &["otp", "totp", "hotp", "mfa", "2fa", "tfa", "pin", "puk", "duo", "tan", "sms", "or", "oder"];

/// The questions that the password answers.
pub(super) enum PasswordPrompt {
    /// Those that are known.
    Known,
    /// Those that the owner names.
    Named(Regex),
}

impl PasswordPrompt {
    /// With a pattern of the owner's, or without; one that is no pattern is an error in words.
    pub(super) fn new(pattern: Option<&str>) -> Result<Self, String> {
        let Some(pattern) = pattern else { return Ok(Self::Known) };
        RegexBuilder::new(pattern)
            .size_limit(MAX_PATTERN)
            .build()
            .map(Self::Named)
            .map_err(|error| format!("password_prompt is no regular expression: {error}"))
    }

    /// Whether the password answers this question. Where its answer would be shown, only if the owner has named it.
    pub(super) fn asks_for_it(&self, asked: &Asked) -> bool {
        match self {
            Self::Known => !asked.echo && known(&asked.prompt),
            Self::Named(pattern) => pattern.is_match(HostWords::within(&asked.prompt, 256).trim()),
        }
    }
}

fn known(prompt: &str) -> bool {
    let line = last_line(prompt);
    if line.chars().count() > MAX_KNOWN {
        return false;
    }
    let question = without_account(&line.to_lowercase());
    // Blanks around, so that a word at either end is one of its own.
    let padded = format!(" {question} ");
    let words = || padded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    PASSWORD.iter().any(|word| question.contains(word))
        && !OTHER.iter().any(|part| padded.contains(part))
        && !words().any(|word| OTHER_WORDS.contains(&word))
}

/// The last line with anything to be seen in it: a greeting may stand before the question.
fn last_line(prompt: &str) -> String {
    let lines = prompt.split(['\n', '\r']).map(|line| HostWords::within(line, 1024));
    let mut seen = lines.filter(|line| !line.trim().is_empty());
    seen.next_back().unwrap_or_default().trim().to_owned()
}

/// The question without the names of the account and the host, which may hold any word: `(user@host) …`, `user@host's …`,
/// `… for user@host`.
fn without_account(question: &str) -> String {
    let rest = match question.strip_prefix('(').and_then(|rest| rest.split_once(") ")) {
        // OpenSSH 8.7 and newer write this themselves; a name with a parenthesis in it is nobody's.
        Some((account, rest)) if account.contains('@') && !account.contains(['(', ' ']) => rest,
        Some(_) | None => question,
    };
    let rest = match rest.split_once("'s ") {
        Some((account, rest)) if !account.contains(' ') => rest,
        Some(_) | None => rest,
    };
    match rest.split_once(" for ") {
        Some((asked, account)) if !account.trim_end_matches([':', ' ']).contains(' ') => {
            asked.to_owned()
        }
        Some(_) | None => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(prompt: &str, echo: bool) -> Asked {
        Asked { prompt: prompt.to_owned(), echo }
    }

    #[test]
    fn the_password_answers_what_hosts_ask_for_it() {
        for prompt in [
            "Password: ",
            "password:",
            "Password",
            "Password > ",
            "(ops@web1) Password: ",
            "(ops@new-token.example) Password: ",
            "Password for ops@web1:",
            "Password for 'ops': ",
            "Password (ops): ",
            "ops@web1's password: ",
            "ops@otp.example's password: ",
            "Enter password: ",
            "Enter your password: ",
            "Please enter your password: ",
            "Enter password for ops:",
            "Enter Password for ops@pin-fw01: ",
            "TACACS Password: ",
            "RADIUS Password: ",
            "LDAP Password: ",
            "AD Password:",
            "Domain password: ",
            "Login password: ",
            "SSH Password: ",
            "Unix Password:",
            "UNIX password: ",
            "user ops password: ",
            "ops password:",
            "Kerberos password for ops@EXAMPLE.COM: ",
            "\nPassword: ",
            "Welcome to ACME\nEnter the code of conduct\nPassword: ",
            "Using keyboard-interactive\r\nPassword:",
            "Password:\0",
            "Password: \u{200b}",
            "Passwort: ",
            "Kennwort für ops:",
            "Mot de passe : ",
            "Contraseña: ",
            "Senha: ",
            "Wachtwoord:",
            "Lösenord: ",
            "Hasło: ",
            "Heslo: ",
            "Parola: ",
            "Пароль: ",
            "密码：",
            "密碼:",
            "口令：",
            "パスワード:",
            "암호: ",
        ] {
            let asks = PasswordPrompt::Known.asks_for_it(&asked(prompt, false));
            assert!(asks, "{prompt:?}");
            let shown = PasswordPrompt::Known.asks_for_it(&asked(prompt, true));
            assert!(!shown, "{prompt:?} would be shown");
        }
    }

    #[test]
    fn the_password_goes_to_no_other_question() {
        for prompt in [
            "",
            "Username: ",
            "Verification code: ",
            "PASSCODE: ",
            "Enter PASSCODE:",
            "Duo two-factor: Passcode or option (1-3): ",
            "Password & verification code: ",
            "Password + token: ",
            "Enter password or code:",
            "One-time password (OATH) for `ops': ",
            "One time password: ",
            "OTP password: ",
            "Einmalpasswort: ",
            "Mot de passe à usage unique : ",
            "Одноразовый пароль: ",
            "一次性密码：",
            "ワンタイムパスワード:",
            "动态口令：",
            "Enter PIN or password:",
            "(ops@web1) New password: ",
            "New password: ",
            "Neues Passwort: ",
            "Nouveau mot de passe : ",
            "Nueva contraseña: ",
            "Новый пароль: ",
            "新密码：",
            "新しいパスワード:",
            "Retype new password: ",
            "Password again: ",
            "Confirm password: ",
            "Passwort bestätigen: ",
            "Confirmez le mot de passe : ",
            "Повторите пароль: ",
            "确认密码：",
            "Current password: ",
            "(current) UNIX password: ",
            "Old Password: ",
            "Your password has expired.\nChange your password: ",
            "(x) y) Passcode:",
            "Response to the password challenge:",
            "Enter passphrase for key: ",
            &format!("Password {}", "x".repeat(200)),
        ] {
            let asks = PasswordPrompt::Known.asks_for_it(&asked(prompt, false));
            assert!(!asks, "{prompt:?}");
        }
    }

    #[test]
    fn a_prompt_that_the_owner_names_is_the_only_one() {
        let named = PasswordPrompt::new(Some("^Zugangswort")).unwrap();
        assert!(named.asks_for_it(&asked("Zugangswort: ", false)));
        assert!(named.asks_for_it(&asked("Zugangswort: ", true)), "the owner has said so");
        assert!(!named.asks_for_it(&asked("Password: ", false)));
        assert!(PasswordPrompt::new(Some("(")).is_err());
        assert!(PasswordPrompt::new(Some("((x{500}){500}){500}")).is_err(), "too large");
    }
}
