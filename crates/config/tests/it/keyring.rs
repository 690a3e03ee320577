//! What `keyring:` may say about a secret. What is asked, and what is told when nothing comes, is tried with the whole program.

use crate::folder::Folder;

fn problems(secret: &str) -> Vec<String> {
    let folder = Folder::sound();
    folder.write("sshepherd.yml", &format!("secrets:\n  {secret}\n"));
    folder.problems()
}

#[test]
fn what_is_no_entry_is_an_error_with_its_line() {
    let long = format!("db: {{keyring: {}}}", "a".repeat(101));
    let named = "must be true, or the name of an entry in quotes";
    let letters = "is no name of an entry: 1 to 100 letters";
    for (secret, wanted) in [
        ("db: {keyring: false}", named),
        ("db: {keyring: 7}", named),
        ("db: {keyring: [a]}", named),
        ("db: {keyring: \"\"}", letters),
        ("db: {keyring: \"a b\"}", letters),
        ("db: {keyring: \"a/b\"}", letters),
        ("db: {keyring: \"-a\"}", letters),
        ("db: {keyring: \"ä\"}", letters),
        (long.as_str(), letters),
        ("\"a b\": {keyring: true}", letters),
    ] {
        let told = problems(secret);
        let field = if secret.starts_with('"') { "a b" } else { "db" };
        let start = format!("sshepherd.yml:2 Error secrets.{field}.keyring: {wanted}");
        assert!(told.iter().any(|line| line.starts_with(&start)), "{secret}: {told:?}");
        assert_eq!(told.len(), 1, "{secret}: {told:?}");
    }
    let told = problems("db: {keyring: true, command: [pass, db]}");
    assert_eq!(
        told,
        [
            "sshepherd.yml:2 Error secrets.db.command: a secret comes from a command or from the keyring, not from both"
        ]
    );
}

#[test]
fn an_entry_that_nobody_uses_is_not_asked_for() {
    let folder = Folder::sound();
    for entry in ["true", "db", "A.b_c-9"] {
        folder.write("sshepherd.yml", &format!("secrets: {{db: {{keyring: {entry}}}}}\n"));
        assert_eq!(folder.warnings(), Vec::<String>::new());
    }
}
