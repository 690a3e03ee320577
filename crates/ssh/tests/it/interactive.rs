//! keyboard-interactive: what a password answers, what a person is asked, and what is never given away.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::MethodKind;
use sshepherd_model::{AuthMethod, Phase, Secret};
use sshepherd_ssh::{Answers, Deadlines, Prompt, Prompter, Questions, Target};
use sshepherd_testkit::{Sshd, TestUser};

use crate::asks::{Fake, Nature};
use crate::common::{Ran, pool, refusal, run, target};

/// Says what it was told to, turn by turn; then waits for ever or gives up.
struct Person {
    says: Mutex<Vec<Vec<&'static str>>>,
    waits: bool,
    heard: Mutex<Vec<Questions>>,
}

impl Person {
    fn saying(turns: &[&[&'static str]]) -> Arc<Self> {
        let says = turns.iter().rev().map(|turn| turn.to_vec()).collect();
        Arc::new(Self { says: Mutex::new(says), waits: false, heard: Mutex::default() })
    }
}

impl Prompter for Person {
    fn ask(&self, questions: Questions) -> Pin<Box<dyn Future<Output = Answers> + Send + '_>> {
        self.heard.lock().unwrap().push(questions);
        let said = self.says.lock().unwrap().pop();
        Box::pin(async move {
            if said.is_none() && self.waits {
                std::future::pending::<()>().await;
            }
            Some(said?.into_iter().map(|word| Secret::new(word.to_owned())).collect())
        })
    }
}

async fn asking(rounds: &[&[(&'static str, bool)]], right: &[&[&'static str]]) -> Fake {
    Fake::start(Nature {
        methods: vec![MethodKind::PublicKey, MethodKind::KeyboardInteractive],
        rounds: rounds.iter().map(|round| round.to_vec()).collect(),
        right: right.iter().map(|turn| turn.to_vec()).collect(),
        ..Nature::default()
    })
    .await
}

fn password() -> AuthMethod {
    AuthMethod::Password(Secret::new("hunter2".to_owned()))
}

fn with(fake: &Fake, methods: Vec<AuthMethod>, person: Option<&Arc<Person>>) -> Target {
    let prompter = person.map(|person| Arc::clone(person) as Arc<dyn Prompter>);
    Target { methods, prompter, ..fake.target() }
}

async fn logs_in(target: Target) {
    pool().open(Arc::new(target)).await.map(drop).unwrap();
}

#[tokio::test]
async fn a_password_answers_its_one_question() {
    let fake = asking(&[&[("(ops@web) Password: ", false)], &[]], &[&["hunter2"], &[]]).await;
    logs_in(with(&fake, vec![password()], None)).await;

    let wrong = asking(&[&[("Password: ", false)]], &[&["other"]]).await;
    let failure = refusal(with(&wrong, vec![password()], None)).await;
    assert_eq!(failure.phase, Phase::Auth);
    assert!(failure.detail.contains("refused password"), "{failure:?}");
    assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
}

#[tokio::test]
async fn a_password_answers_no_other_question_and_none_twice() {
    for round in [
        &[("Verification code: ", false)][..],
        &[("Password: ", true)],
        &[("Password: ", false), ("Code: ", false)],
    ] {
        let fake = asking(&[round], &[]).await;
        let failure = refusal(with(&fake, vec![password()], None)).await;
        assert_eq!(failure.phase, Phase::Auth);
        assert!(failure.detail.contains("nobody is here to answer"), "{failure:?}");
        assert!(failure.detail.contains(round[0].0.trim()), "{failure:?}");
        assert_eq!(*fake.nature.answers.lock().unwrap(), Vec::<Vec<String>>::new());
    }
    let again = asking(&[&[("Password: ", false)], &[("Password: ", false)]], &[]).await;
    let failure = refusal(with(&again, vec![password()], None)).await;
    assert!(failure.detail.contains("nobody is here to answer"), "{failure:?}");
    assert_eq!(*again.nature.answers.lock().unwrap(), [["hunter2"]]);
}

#[tokio::test]
async fn a_person_is_asked_the_rest() {
    let rounds: [&[_]; 2] = [&[("Password: ", false)], &[("Code:\u{7} ", false), ("Team: ", true)]];
    let fake = asking(&rounds, &[&["hunter2"], &["123456", "red"]]).await;
    let person = Person::saying(&[&["123456", "red"]]);
    logs_in(with(&fake, vec![password()], Some(&person))).await;
    let heard = person.heard.lock().unwrap().clone();
    assert_eq!(
        heard,
        [Questions {
            alias: "test".parse().unwrap(),
            username: "root".to_owned(),
            instructions: "By order of the  owner".into(),
            prompts: vec![
                Prompt { text: "Code:  ".into(), echo: false },
                Prompt { text: "Team: ".into(), echo: true },
            ],
        }]
    );
    // Without a configured password the person is asked for that, too.
    let person = Person::saying(&[&["hunter2"], &["123456", "red"]]);
    logs_in(with(&fake, vec![AuthMethod::Interactive], Some(&person))).await;
    assert_eq!(person.heard.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_key_and_a_code_make_one_log_in() {
    let fake = Fake::start(Nature {
        methods: vec![MethodKind::KeyboardInteractive],
        rounds: vec![vec![("Code: ", false)]],
        right: vec![vec!["123456"]],
        wants_both: true,
        ..Nature::default()
    })
    .await;
    let mut methods = fake.target().methods;
    let failure = refusal(with(&fake, methods.clone(), None)).await;
    assert!(failure.detail.contains("(right, but more is wanted)"), "{failure:?}");
    methods.push(AuthMethod::Interactive);
    let person = Person::saying(&[&["123456"]]);
    logs_in(with(&fake, methods, Some(&person))).await;
}

#[tokio::test]
async fn nobody_answers_wrongly_or_late() {
    let fake = asking(&[&[("Code: ", false)]], &[&["123456"]]).await;
    let interactive = || vec![AuthMethod::Interactive];
    for (person, words) in [
        (Person::saying(&[]), "nobody answered"),
        (Person::saying(&[&["1", "2"]]), "nobody answered"),
        (Person::saying(&[&["654321"]]), "refused keyboard-interactive"),
    ] {
        let failure = refusal(with(&fake, interactive(), Some(&person))).await;
        assert!(failure.detail.contains(words), "{words}: {failure:?}");
        assert!(!format!("{failure:?}").contains("654321"), "{failure:?}");
    }
    let quick = Duration::from_millis(200);
    let deadlines = Deadlines { auth: quick, person: quick, ..Deadlines::default() };
    let waits = Arc::new(Person { says: Mutex::default(), waits: true, heard: Mutex::default() });
    let target = Target { deadlines, ..with(&fake, interactive(), Some(&waits)) };
    let failure = refusal(target).await;
    assert!(failure.detail.contains("nobody answered"), "{failure:?}");

    let endless: Vec<&[(&str, bool)]> = vec![&[]; 50];
    let failure = refusal(with(&asking(&endless, &[]).await, interactive(), None)).await;
    assert!(failure.detail.contains("asked more than 10 times"), "{failure:?}");
    let many: &[(&str, bool)] = &[("x", false); 17];
    let failure = refusal(with(&asking(&[many], &[]).await, interactive(), None)).await;
    assert!(failure.detail.contains("asks 17 questions"), "{failure:?}");
}

#[tokio::test]
async fn nothing_is_asked_where_it_is_not_offered() {
    let fake =
        Fake::start(Nature { methods: vec![MethodKind::PublicKey], ..Nature::default() }).await;
    let failure = refusal(with(&fake, vec![AuthMethod::Interactive], None)).await;
    assert!(failure.detail.contains("keyboard-interactive (not sent"), "{failure:?}");
}

/// Real PAM, which asks `(user@host) Password: `.
#[tokio::test]
async fn a_password_logs_in_through_pam() {
    let user = match TestUser::ensure() {
        Ok(user) => user,
        Err(reason) => {
            assert!(!sshepherd_testkit::account::is_root(), "{reason}");
            return;
        }
    };
    let server = Sshd::builder()
        .login_as(&user)
        .config_line("UsePAM yes")
        .config_line("KbdInteractiveAuthentication yes")
        .start();
    let with = |password: &str| Target {
        methods: vec![AuthMethod::Password(Secret::new(password.to_owned()))],
        ..target(&server)
    };
    let right = Arc::new(with(user.password()));
    assert_eq!(run(&pool(), &right, "id -un").await, Ran::said("sshepherd-test\n", "", 0));
    let wrong = refusal(with("not-the-password")).await;
    assert_eq!(wrong.phase, Phase::Auth, "{wrong:?}");
    assert!(!format!("{wrong:?}").contains("not-the-password"), "{wrong:?}");
}
